"""A picture file as an upright RGB image, or the reason why not."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from ..errors import TinyclipError, UserError

RGB = tuple[int, int, int]

_ORIENTATION = 0x0112  # the EXIF tag
# catch_warnings changes the process, so that loader threads must take turns
_OPENING = threading.Lock()


class Broken(TinyclipError):
    """A row that cannot be used; it is skipped and counted.

    Args:
        kind: missing, empty, not a picture, truncated, too large or unreadable.
        detail: what exactly was wrong.
    """

    def __init__(self, kind: str, detail: str) -> None:
        self.kind, self.detail = kind, detail
        super().__init__(f"{kind}: {detail}")


def too_many_broken(
    where: str, broken: Mapping[str, tuple[str, str]], tried: int, limit: float
) -> UserError:
    """The message that stops a run; it shows the first ten with their reasons."""
    lines = [f"\n  {key}: {kind} ({why})" for key, (kind, why) in broken.items()]
    more = f"\n  and {len(lines) - 10} more" if len(lines) > 10 else ""
    return UserError(
        where,
        f"{len(broken)} of {tried} pictures are broken, more than the share of "
        f"{limit:g} that data.max_broken_share allows:{''.join(lines[:10])}{more}",
        "Mend or remove these rows, or raise data.max_broken_share",
    )


def parse_background(colour: str) -> RGB:
    """The colour that transparency is laid on.

    Raises:
        UserError: it is no colour.
    """
    try:
        return ImageColor.getcolor(colour, "RGB")  # type: ignore[return-value]
    except ValueError:
        raise UserError(
            "data.background",
            f"{colour!r} is no colour",
            "Write a name (white) or #rrggbb",
        ) from None


def read_picture(path: Path, background: RGB) -> Image.Image:
    """The picture in a file; see `decode_picture`."""
    if {"http:", "https:"} & set(path.parts):
        raise Broken("missing", "an address on the web; only local files are read")
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise Broken("missing", "there is no such file") from None
    except (OSError, ValueError) as error:
        raise Broken("unreadable", _reason(error)) from None
    return decode_picture(content, background)


def decode_picture(content: bytes, background: RGB) -> Image.Image:
    """An upright RGB image.

    EXIF rotation is applied, transparency is laid on `background`, 16-bit greys keep
    their range, CMYK and palettes become RGB; of an animation the first frame.

    Raises:
        Broken: it is no picture, or not a whole one, or too large to open safely.
    """
    if not content:
        raise Broken("empty", "the file has no bytes")
    try:
        return _to_rgb(_open(content), background)
    except Broken:
        raise
    except UnidentifiedImageError:
        raise Broken("not a picture", "no known picture format") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Broken("too large", _reason(error)) from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise Broken(kind, _reason(error)) from None


def _open(content: bytes) -> Image.Image:
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(BytesIO(content))
    image.load()
    return image


def _to_rgb(image: Image.Image, background: RGB) -> Image.Image:
    transparent = "transparency" in image.info
    image = _upright(image)
    if image.mode == "RGB" and not transparent:
        return image
    if image.mode.startswith(("I", "F")):
        return _from_wide(image).convert("RGB")
    if transparent or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", rgba.size, background)
        canvas.paste(rgba, mask=rgba.getchannel("A"))
        return canvas
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
    except Exception:  # unreadable EXIF states no rotation; the pixels are whole
        return image
    return ImageOps.exif_transpose(image) if turned else image


def _from_wide(image: Image.Image) -> Image.Image:
    """Greys of 16 bits or more in 8: PIL's own conversion clips at 255."""
    grey = np.nan_to_num(np.asarray(image, dtype=np.float64))
    top = float(grey.max(initial=0.0))
    if image.mode.startswith("I;16") or top > 255:
        grey = grey / 257  # 65535 becomes 255
    elif image.mode == "F" and top <= 1:
        grey = grey * 255
    return Image.fromarray(np.rint(grey).clip(0, 255).astype(np.uint8), "L")


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).split("\n")[0][:160]
