"""Rare kinds of picture that are whole give the right pixels: NumPy and Pillow say."""

from __future__ import annotations

import struct
import warnings
import zlib
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


def chunk(name: bytes, body: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + check


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_one_pixel_is_a_picture(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(Image.new("RGB", (1, 1), (250, 0, 0)), kind, **options)
    _, pixels = outcome(content)
    assert pixels.shape == (1, 1, 3)
    assert np.abs(pixels[0, 0].astype(int) - (250, 0, 0)).max() <= 4


def on_grey(rgba: np.ndarray) -> np.ndarray:
    """NumPy's own alpha blending onto the background, in float64."""
    alpha = rgba[..., 3:].astype(np.float64) / 255
    return np.rint(rgba[..., :3] * alpha + np.asarray(GREY) * (1 - alpha))


def test_a_palette_with_alpha_is_laid_on_the_background() -> None:
    rng = np.random.default_rng(0)
    colours, alphas = rng.integers(0, 256, (8, 3)), rng.integers(0, 256, 8)
    at = rng.integers(0, 8, (6, 5)).astype(np.uint8)
    image = Image.new("P", (5, 6))
    image.putdata(at.ravel().tolist())
    image.putpalette(colours.ravel().tolist())
    content = saved(image, "PNG", transparency=bytes(alphas.tolist()))
    expected = on_grey(np.concatenate([colours, alphas[:, None]], 1)[at])
    assert np.abs(outcome(content)[1] - expected).max() <= 1


def test_alpha_is_laid_on_the_background() -> None:
    rgba = np.random.default_rng(1).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    _, pixels = outcome(saved(Image.fromarray(rgba), "PNG"))
    assert np.abs(pixels - on_grey(rgba)).max() <= 1


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    grey = np.random.default_rng(2).integers(0, 65536, (6, 5), dtype=np.uint16)
    expected = np.rint(grey.astype(np.float64) / 257)[..., None].repeat(3, -1)
    dark = np.arange(30, dtype=np.uint16).reshape(6, 5)  # under 256 everywhere
    for kind in ("PNG", "TIFF"):
        _, pixels = outcome(saved(Image.fromarray(grey), kind))
        assert np.array_equal(pixels, expected)
        assert outcome(saved(Image.fromarray(dark), kind))[1].max() == 0
    head = b"P5 5 6 65535\n"
    assert np.array_equal(outcome(head + grey.astype(">u2").tobytes())[1], expected)
    assert outcome(head + dark.astype(">u2").tobytes())[1].max() == 0


def test_sixteen_bit_colour_keeps_its_range() -> None:
    rgb = np.random.default_rng(3).integers(0, 65536, (4, 4, 3), dtype=np.uint16)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
    head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines))
    _, pixels = outcome(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))
    assert np.abs(pixels - rgb / 257).max() <= 1


def test_a_grey_of_sixteen_bits_may_be_transparent() -> None:
    lines = b"".join(b"\0" + struct.pack(">HH", 0x1234, 0xFFFF) for _ in range(2))
    head = struct.pack(">IIBBBBB", 2, 2, 16, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"tRNS", struct.pack(">H", 0x1234))
    body += chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    _, pixels = outcome(b"\x89PNG\r\n\x1a\n" + body)
    assert pixels[0].tolist() == [list(GREY), [255, 255, 255]]


def test_cmyk_is_the_colour_it_stands_for() -> None:
    """Reference: R = (255-C)(255-K)/255, without a colour profile."""
    cmyk = np.random.default_rng(4).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    _, pixels = outcome(saved(Image.fromarray(cmyk, "CMYK"), "TIFF"))
    ink = 255.0 - cmyk.astype(np.float64)
    expected = ink[..., :3] * ink[..., 3:] / 255
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF"])
def test_a_turned_picture_is_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    options = {"lossless": True} if kind == "WEBP" else {}
    turned = saved(photo(), kind, exif=exif, **options)
    expected = np.rot90(reference(saved(photo(), kind, **options)), -1)
    assert np.array_equal(outcome(turned)[1], expected)


def test_of_an_animation_the_first_frame_is_shown() -> None:
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        content = saved(photo(), kind, **options, **frames())
        alone = saved(photo(), kind, **options)
        assert np.array_equal(outcome(content)[1], outcome(alone)[1])


def with_chunks(before: bytes = b"", after: bytes = b"") -> bytes:
    """A whole PNG with chunks before and after its pixels."""
    content = saved(photo(), "PNG")
    start, end = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    return content[:start] + before + content[start:end] + after + content[end:]


LONG = b"x" * 3 * 2**20  # three times what Pillow takes
WORDS = {
    "profile": chunk(b"iCCP", b"big\0\0" + zlib.compress(LONG)),
    "packed": chunk(b"zTXt", b"history\0\0" + zlib.compress(LONG)),
    "international": chunk(b"iTXt", b"history\0\1\0\0\0" + zlib.compress(LONG)),
    "many": b"".join(chunk(b"tEXt", b"a%d\0" % i + LONG) for i in range(23)),
    "broken": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG * 9)),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", sorted(WORDS))
def test_long_words_in_a_png_do_not_matter(kind: str, after: bool) -> None:
    if after and kind == "profile":
        return  # it stands before the pixels
    content = with_chunks(**{"after" if after else "before": WORDS[kind]})
    assert np.array_equal(outcome(content)[1], np.asarray(photo()))


@pytest.mark.parametrize("kind", ["XMP", "EXIF", "eXIf"])
def test_long_words_keep_a_picture_upright(kind: str) -> None:
    """The turn is stated in a text that is too long itself, or beside one."""
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = f"\nexif\n{len(exif.tobytes())}\n{exif.tobytes().hex()}\n".encode()
    packed = zlib.compress(b'<x tiff:Orientation="6"/>' + b" " * len(LONG))
    turn = {
        "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed),
        "EXIF": chunk(
            b"zTXt",
            b"Raw profile type exif\0\0" + zlib.compress(profile + b"\n" * len(LONG)),
        ),
        "eXIf": chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")),
    }[kind]
    _, pixels = outcome(with_chunks(before=turn + WORDS["packed"]))
    assert np.array_equal(pixels, np.rot90(np.asarray(photo()), -1))


def test_damage_beside_long_words_is_noticed() -> None:
    content = with_chunks(before=WORDS["packed"])
    at = content.index(b"IDAT") + 40
    flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    assert outcome(flipped)[0] in ("damaged", "unreadable")
    for cut in (at, len(content) - 30):
        assert outcome(content[:cut])[0] != "picture"
