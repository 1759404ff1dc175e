"""Bad input of every kind ends in `Broken`, in `UserError` or in the right picture.

Damage that a format's checksums or structure can show must be noticed. Bits flipped in
a JPEG, GIF, WebP, BMP or TIFF cannot be: there, a picture of some kind is allowed.
"""

from __future__ import annotations

import random
import struct
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from tinyclip.data.broken import Broken
from tinyclip.data.pictures import decode_picture

GREY = (40, 80, 120)
SIZE = (24, 16)


def photo(seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Noise on a gradient: nothing in it repeats."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 180, 3 * SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0], 3)
    noise = rng.integers(0, 75, ramp.shape)
    return Image.fromarray((ramp + noise).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def frames() -> dict[str, object]:
    return {"save_all": True, "append_images": [photo(1)]}


WHOLE: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(photo(), "JPEG"),
    "jpeg progressive": lambda: saved(photo(), "JPEG", progressive=True),
    "jpeg cmyk": lambda: saved(photo(mode="CMYK"), "JPEG"),
    "png": lambda: saved(photo(), "PNG"),
    "png palette": lambda: saved(photo(mode="P"), "PNG"),
    "png animated": lambda: saved(photo(), "PNG", **frames()),
    "webp": lambda: saved(photo(), "WEBP"),
    "webp lossless": lambda: saved(photo(), "WEBP", lossless=True),
    "webp animated": lambda: saved(photo(), "WEBP", lossless=True, **frames()),
    "gif": lambda: saved(photo(), "GIF"),
    "gif animated": lambda: saved(photo(), "GIF", **frames()),
    "tiff": lambda: saved(photo(), "TIFF"),
    "tiff lzw": lambda: saved(photo(), "TIFF", compression="tiff_lzw"),
    "bmp": lambda: saved(photo(), "BMP"),
    "ppm": lambda: saved(photo(), "PPM"),
}
CHECKED = ("png", "png palette")  # formats with checksums over all that is shown


def outcome(content: bytes) -> tuple[str, np.ndarray | None]:
    """Either ("picture", pixels) or (kind, None); anything else escapes and fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = decode_picture(content, GREY)
        except Broken as broken:
            assert broken.kind
            assert broken.detail
            return broken.kind, None
    assert image.mode == "RGB"
    return "picture", np.asarray(image)


def reference(content: bytes) -> np.ndarray:
    """Pillow's own way to the first frame of an opaque picture."""
    with Image.open(BytesIO(content)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_picture_is_pillow_s(name: str) -> None:
    content = WHOLE[name]()
    kind, pixels = outcome(content)
    assert kind == "picture"
    assert np.array_equal(pixels, reference(content))


@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_picture_is_broken_or_right(name: str) -> None:
    """13 lengths each; what a cut leaves whole (a second frame gone) stays right."""
    content = WHOLE[name]()
    whole = reference(content)
    lengths = [1, 3, 9, 20, *np.linspace(0.1, 0.98, 8).dot(len(content)).astype(int)]
    for length in [*lengths, len(content) - 1]:
        kind, pixels = outcome(content[:length])
        assert kind in ("picture", "truncated", "unreadable", "not a picture")
        assert pixels is None or np.array_equal(pixels, whole), f"{length} bytes"


@pytest.mark.parametrize("name", WHOLE)
def test_flipped_bits_are_broken_or_give_a_picture(name: str) -> None:
    """20 each; where there are checksums, nothing but the right picture."""
    content, draw = WHOLE[name](), random.Random(name)
    whole = reference(content)
    for _ in range(20):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        kind, pixels = outcome(bytes(damaged))
        if name in CHECKED and pixels is not None:
            assert np.array_equal(pixels, whole)


@pytest.mark.parametrize("name", WHOLE)
def test_overwritten_stretches_are_broken_or_give_a_picture(name: str) -> None:
    content, draw = WHOLE[name](), random.Random(name)
    for _ in range(6):
        at, length = draw.randrange(len(content)), draw.randrange(1, 64)
        damaged = content[:at] + draw.randbytes(length) + content[at + length :]
        outcome(damaged)
        outcome(content[:at] + content[at + length :])


@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "png", "gif"])
def test_a_picture_whose_end_was_never_written_is_broken(name: str) -> None:
    content = WHOLE[name]()
    half = len(content) // 2
    assert outcome(content[:half] + bytes(half))[1] is None


def test_zeros_in_a_jpeg_are_not_taken_for_pixels() -> None:
    """The decoder mostly takes them: Pillow shows a lower half of its own making."""
    fooled = 0
    for seed in range(12):
        noise = np.random.default_rng(seed).integers(0, 256, (64, 96, 3))
        content = saved(Image.fromarray(noise.astype(np.uint8)), "JPEG")
        half = content[: len(content) // 2] + bytes(len(content) // 2)
        assert outcome(half)[0] == "truncated"
        try:
            fooled += reference(half).shape == (64, 96, 3)
        except OSError:
            continue
    assert fooled


def test_half_a_webp_is_truncated() -> None:
    content = WHOLE["webp"]()
    assert outcome(content[: len(content) // 2])[0] == "truncated"


def chunk(name: bytes, body: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + check


def png_head(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def gif_head(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


STRANGE: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "empty"),
    "one byte": (b"\0", "not a picture"),
    "zeros": (bytes(4096), "not a picture"),
    "text": (b"hello", "not a picture"),
    "page": (b"<!DOCTYPE html><html>404 not found</html>", "not a picture"),
    "drawing": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture"),
    "postscript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "not a picture",
    ),
    "zip": (b"PK\x03\x04" + bytes(100), "not a picture"),
    "pdf": (b"%PDF-1.7\n" + bytes(100), "not a picture"),
    "sound in riff": (b"RIFF" + struct.pack("<I", 40) + b"WAVEfmt ", "not a picture"),
    "jpeg mark alone": (b"\xff\xd8\xff\xd9", "unreadable"),
    "png mark alone": (b"\x89PNG\r\n\x1a\n", "unreadable"),
    "gif mark alone": (b"GIF89a", "unreadable"),
    "gif without frames": (gif_head(9, 9), "unreadable"),
    "tiff mark alone": (b"II*\0\x08\0\0\0", "unreadable"),
    "bitmap mark alone": (b"BM" + bytes(60), "unreadable"),
    "20,000 x 20,000": (png_head(20_000, 20_000), "too large"),
    "10,000 x 10,000": (png_head(10_000, 10_000), "too large"),
    "2^31 x 2^31": (png_head(2**31 - 1, 2**31 - 1), "too large"),
    "no width": (png_head(0, 5), "unreadable"),
    "one by sixty thousand": (png_head(1, 60_000), "too narrow"),
    "sixty thousand by one": (saved(Image.new("L", (60_000, 1)), "BMP"), "too narrow"),
    "claims more than it has": (png_head(50, 50), "truncated"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_usable_picture_has_its_kind(name: str) -> None:
    content, kind = STRANGE[name]
    assert outcome(content)[0] == kind


def test_more_than_two_hundred_bad_inputs_were_tried() -> None:
    assert len(WHOLE) * (13 + 20 + 12) + 4 + len(STRANGE) > 600
