"""Every kind of picture comes out as upright RGB, or is broken with a reason."""

from __future__ import annotations

import random
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyclip.data.pictures import (
    Broken,
    decode_picture,
    parse_background,
    read_picture,
)
from tinyclip.errors import UserError

WHITE = (255, 255, 255)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corner(content: bytes, background: tuple[int, int, int] = WHITE) -> tuple:
    image = decode_picture(content, background)
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


def kind_of(content: bytes) -> str:
    with pytest.raises(Broken) as caught:
        decode_picture(content, WHITE)
    return caught.value.kind


def test_transparency_is_laid_on_the_background() -> None:
    content = saved(Image.new("RGBA", (2, 2), (200, 100, 0, 0)))
    assert corner(content, (1, 2, 3)) == (1, 2, 3)


def test_half_transparency_is_mixed() -> None:
    content = saved(Image.new("RGBA", (2, 2), (200, 100, 0, 51)))
    # 51 of 255 is a fifth
    assert corner(content, (0, 0, 100)) == (40, 20, 80)


def test_a_transparent_palette_entry_is_transparent() -> None:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert corner(saved(image, transparency=1), (9, 8, 7)) == (9, 8, 7)
    assert corner(saved(image)) == (255, 0, 0)


def test_a_transparent_colour_of_rgb_is_transparent() -> None:
    image = Image.new("RGB", (2, 2), (5, 6, 7))
    assert corner(saved(image, transparency=(5, 6, 7)), (1, 1, 1)) == (1, 1, 1)


def test_grey_with_alpha_is_laid_on_the_background() -> None:
    assert corner(saved(Image.new("LA", (2, 2), (10, 0))), (1, 2, 3)) == (1, 2, 3)


@pytest.mark.parametrize("grey", [0, 0x1234, 0x8000, 0xFE00, 0xFFFF])
def test_sixteen_bit_greys_keep_their_range(grey: int) -> None:
    image = Image.fromarray(np.full((2, 2), grey, dtype=np.uint16))
    assert corner(saved(image)) == (round(grey / 257),) * 3


def test_sixteen_bit_big_endian_tiff_keeps_its_range() -> None:
    image = Image.fromarray(np.full((2, 2), 0x8080, dtype=">u2"))
    assert corner(saved(image, "TIFF")) == (128, 128, 128)


def test_float_tiff_of_shares_is_scaled() -> None:
    image = Image.fromarray(np.full((2, 2), 0.2, dtype=np.float32))
    assert corner(saved(image, "TIFF")) == (51, 51, 51)


def test_cmyk_becomes_the_colour_it_stands_for() -> None:
    content = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = corner(content)
    assert red > 250
    assert green < 5
    assert blue < 5


def test_black_and_white_becomes_rgb() -> None:
    assert corner(saved(Image.new("1", (2, 2), 1))) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    """Reference: the eight orientations of EXIF 2.3 written as array operations."""
    stored = np.zeros((2, 3, 3), dtype=np.uint8)
    stored[0, 0], stored[0, 2], stored[1, 0] = 50, 150, 250
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    content = saved(Image.fromarray(stored), exif=exif)
    assert np.array_equal(np.asarray(decode_picture(content, WHITE)), shown)


def test_unreadable_exif_leaves_the_picture() -> None:
    content = saved(Image.new("RGB", (2, 2), (1, 2, 3)), exif=b"Exif\0\0garbage")
    assert corner(content) == (1, 2, 3)


def test_of_an_animation_the_first_frame_counts() -> None:
    first, second = (Image.new("RGB", (2, 2), colour) for colour in ("red", "blue"))
    content = saved(first, "GIF", save_all=True, append_images=[second])
    assert corner(content) == (255, 0, 0)


def test_no_bytes_are_empty() -> None:
    assert kind_of(b"") == "empty"


def test_text_is_not_a_picture() -> None:
    assert kind_of(b"<html>404</html>") == "not a picture"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_half_a_picture_is_broken(kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    content = saved(Image.fromarray(pixels), kind)
    assert kind_of(content[: len(content) // 2]) == "truncated"


def bomb(side: int) -> bytes:
    """A PNG whose header claims side x side pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "side", [10_000, 60_000]
)  # PIL warns of one, refuses the other
def test_a_decompression_bomb_is_too_large(side: int) -> None:
    assert kind_of(bomb(side)) == "too large"


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="missing"):
        read_picture(tmp_path / "no.png", WHITE)


def test_an_address_is_told_from_a_file() -> None:
    with pytest.raises(Broken, match="on the web"):
        read_picture(Path("root") / "https://example.org/a.png", WHITE)


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="unreadable"):
        read_picture(tmp_path, WHITE)


def test_damaged_bytes_give_a_picture_or_a_reason() -> None:
    """Nothing but `Broken` may come out of a decoder, and no warning either."""
    draw = random.Random(0)
    image = Image.effect_mandelbrot((16, 16), (-2, -2, 2, 2), 20).convert("RGB")
    whole = [saved(image, kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF")]
    outcomes = set()
    for _ in range(400):
        content = bytearray(draw.choice(whole))
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                assert decode_picture(bytes(content), WHITE).mode == "RGB"
                outcomes.add("whole")
            except Broken as broken:
                outcomes.add(broken.kind)
    assert {"whole", "unreadable", "not a picture"} <= outcomes


def test_colours_have_names_and_numbers() -> None:
    assert parse_background("white") == parse_background("#ffffff") == WHITE


def test_a_colour_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="'whit' is no colour"):
        parse_background("whit")
