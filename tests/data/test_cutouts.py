"""Cut-outs of drawn shapes: exactly their pixels, and in another colour."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tinyclip.data.broken import Broken
from tinyclip.data.cutouts import area, cut_out, cut_outs, recoloured

WHITE = (255, 255, 255)


def drawing(ground=WHITE) -> Image.Image:
    """A red frame of 20 x 10 around white, at (5, 8)."""
    image = Image.new("RGB", (40, 40), ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle((5, 8, 24, 17), fill=(220, 20, 20))
    draw.rectangle((9, 11, 12, 13), fill=WHITE)
    return image


@pytest.mark.parametrize("ground", [WHITE, (250, 247, 252), (30, 60, 90)])
def test_a_cut_out_is_exactly_the_drawing_with_the_white_inside_it(ground) -> None:
    cut = cut_out(drawing(ground))
    assert cut is not None and cut.size == (20, 10)
    pixels = np.asarray(cut)
    assert (pixels[..., 3] == 255).all() and area(cut) == 200
    white = (pixels[..., :3] == 255).all(axis=-1)
    assert white.sum() == 12 and white[3:6, 4:8].all()


def test_a_bay_of_ground_is_cut_away_and_a_speck_of_noise_with_it() -> None:
    image = drawing()
    image.putpixel((2, 2), (248, 250, 246))
    ImageDraw.Draw(image).rectangle((9, 8, 12, 13), fill=WHITE)  # the hole is open
    cut = cut_out(image)
    assert cut is not None and area(cut) == 200 - 4 * 6


def test_one_corner_that_is_drawn_on_is_not_the_ground() -> None:
    image = drawing()
    ImageDraw.Draw(image).rectangle((0, 0, 8, 10), fill=(220, 20, 20))
    cut = cut_out(image)
    assert cut is not None and cut.getpixel((0, 0)) == (220, 20, 20, 255)
    assert area(cut) == 200 + 9 * 11 - 4 * 3


def test_what_is_no_drawing_on_a_plain_ground_is_not_cut_out() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert cut_out(Image.fromarray(noise)) is None
    assert cut_out(Image.new("RGB", (40, 40), WHITE)) is None


def shaded() -> Image.Image:
    """A ramp of greys, with a transparent half."""
    pixels = np.full((4, 256, 4), 255, dtype=np.uint8)
    pixels[..., :3] = np.arange(256, dtype=np.uint8)[None, :, None]
    pixels[2:, :, 3] = 0
    return Image.fromarray(pixels)


def test_another_colour_keeps_alpha_and_the_order_of_luminance() -> None:
    became = np.asarray(recoloured(shaded(), (200, 40, 20)))
    assert (became[..., 3] == np.asarray(shaded())[..., 3]).all()
    luminance = became[0, :, :3] @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(luminance) >= -0.5).all()
    assert luminance[0] < 3 and luminance[-1] > 252


@pytest.mark.parametrize("colour", [(200, 40, 20), (250, 210, 0)])
@pytest.mark.parametrize("grey", [0, 60, 140, 255])
def test_a_plain_thing_becomes_the_colour_however_light_it_is(colour, grey) -> None:
    image = Image.new("RGBA", (6, 6), (grey, grey, grey, 255))
    became = np.asarray(recoloured(image, colour), dtype=int)[..., :3]
    assert np.abs(became - colour).max() <= 3


class Drawings:
    name, dropped = "drawings", {"excluded": 2}

    def __init__(self, images) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def key(self, i: int) -> str:
        return f"k{i}"

    def captions(self, i: int) -> tuple[str, ...]:
        return ("unused",)

    def image(self, i: int) -> Image.Image:
        if self.images[i] is None:
            raise Broken("truncated", "cut")
        return self.images[i]

    def fingerprint(self) -> str:
        return "drawings"


def test_a_broken_drawing_is_counted_and_the_next_of_its_name_is_used() -> None:
    plain = Image.new("RGB", (40, 40), WHITE)
    pairs = Drawings([None, plain, drawing(), drawing((9, 9, 9)), drawing()])
    names = ["cup", "cup", "cup", "cup", "unwanted"]
    cuts = cut_outs(pairs, names, ["ball", "cup"])
    assert (cuts.names, cuts.rows) == (("cup",), {"cup": 2})
    assert cuts.dropped == {"excluded": 2, "truncated": 1}
    assert cuts.dropped.rows == {"k0": ("truncated", "cut")}
