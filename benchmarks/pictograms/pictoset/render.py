"""Pixels of a drawing: RGBA, square, 64 by 64."""

import io
from multiprocessing import Pool

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from pictoset.drawing import Drawing

SIZE = 64
# Clip-art pages are drawn larger and shrunk: thin lines keep their weight.
PAGE_WIDTH = 128
TALLEST_PAGE = 1024
# Below this mean opacity (of 255) a rendering is as good as empty.
FAINTEST = 3.0
# Without a stated resolution a third of the clip-arts fail with "invalid size".
DPI = 96.0


def square(image: Image.Image) -> NDArray[np.uint8]:
    """Centre on a transparent square and scale without dark fringes."""
    image = image.convert("RGBA")
    longest = max(image.size)
    if image.size != (longest, longest):
        page = Image.new("RGBA", (longest, longest), (255, 255, 255, 0))
        left, top = ((longest - side) // 2 for side in image.size)
        page.paste(image, (left, top))
        image = page
    if longest != SIZE:
        method = Image.Resampling.LANCZOS
        if longest < SIZE:
            method = Image.Resampling.BICUBIC
        image = image.convert("RGBa").resize((SIZE, SIZE), method).convert("RGBA")
    return np.asarray(image)


def _open(drawing: Drawing) -> Image.Image | None:
    if drawing.svg is not None:
        data = resvg_py.svg_to_bytes(
            svg_string=drawing.svg,
            width=SIZE,
            height=SIZE,
            dpi=DPI,
            skip_system_fonts=True,
        )
        return Image.open(io.BytesIO(bytes(data)))
    assert drawing.path is not None
    if drawing.path.suffix != ".svg":
        return Image.open(drawing.path)
    data = resvg_py.svg_to_bytes(
        svg_path=str(drawing.path), width=PAGE_WIDTH, dpi=DPI, skip_system_fonts=True
    )
    image = Image.open(io.BytesIO(bytes(data)))
    return image if image.height <= TALLEST_PAGE else None


def render(drawing: Drawing) -> NDArray[np.uint8] | None:
    """The picture, or None where the file cannot be drawn or is empty."""
    try:
        image = _open(drawing)
        pixels = None if image is None else square(image)
    except (ValueError, OSError):
        return None
    if pixels is None or pixels[..., 3].mean() <= FAINTEST:
        return None
    return pixels


def render_all(
    drawings: list[Drawing], processes: int
) -> list[NDArray[np.uint8] | None]:
    """All pictures in order."""
    with Pool(processes) as pool:
        return pool.map(render, drawings, chunksize=32)


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture laid on white."""
    alpha = rgba[..., 3:].astype(np.uint16)
    colour = rgba[..., :3].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
