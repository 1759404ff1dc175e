"""Bad input of every kind ends in `Broken`, in `UserError` or in the right picture.

Damage that a format's checksums or structure can show must be noticed. Bits flipped in
a JPEG, GIF, WebP, BMP or TIFF cannot be: there, a picture of some kind is allowed.
"""

from __future__ import annotations

import csv
import json
import random
import struct
import tarfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from tinyclip.config.schema import Data
from tinyclip.data.broken import Broken, counts_by_kind
from tinyclip.data.loader import Loader
from tinyclip.data.pairs import open_pairs
from tinyclip.data.pictures import decode_picture
from tinyclip.errors import UserError

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
    wanted = on_grey(np.concatenate([colours, alphas[:, None]], 1)[at])
    assert np.abs(outcome(content)[1] - wanted).max() <= 1


def test_alpha_is_laid_on_the_background() -> None:
    rgba = np.random.default_rng(1).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    _, pixels = outcome(saved(Image.fromarray(rgba), "PNG"))
    assert np.abs(pixels - on_grey(rgba)).max() <= 1


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    grey = np.random.default_rng(2).integers(0, 65536, (6, 5), dtype=np.uint16)
    wanted = np.rint(grey.astype(np.float64) / 257)[..., None].repeat(3, -1)
    dark = np.arange(30, dtype=np.uint16).reshape(6, 5)  # under 256 everywhere
    for kind in ("PNG", "TIFF"):
        _, pixels = outcome(saved(Image.fromarray(grey), kind))
        assert np.array_equal(pixels, wanted)
        assert outcome(saved(Image.fromarray(dark), kind))[1].max() == 0
    head = b"P5 5 6 65535\n"
    assert np.array_equal(outcome(head + grey.astype(">u2").tobytes())[1], wanted)
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
    wanted = ink[..., :3] * ink[..., 3:] / 255
    assert np.abs(pixels - wanted).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF"])
def test_a_turned_picture_is_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    options = {"lossless": True} if kind == "WEBP" else {}
    turned = saved(photo(), kind, exif=exif, **options)
    wanted = np.rot90(reference(saved(photo(), kind, **options)), -1)
    assert np.array_equal(outcome(turned)[1], wanted)


def test_of_an_animation_the_first_frame_is_shown() -> None:
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        content = saved(photo(), kind, **options, **frames())
        alone = saved(photo(), kind, **options)
        assert np.array_equal(outcome(content)[1], outcome(alone)[1])


# --- whole sources -------------------------------------------------------------------


COLOURS = {f"colour {i}": (i, 2 * i, 7) for i in range(8)}


def members() -> Iterator[tuple[str, bytes]]:
    for i, (text, colour) in enumerate(COLOURS.items()):
        yield f"{i}.png", saved(Image.new("RGB", (4, 4), colour), "PNG")
        if i % 2:
            yield f"{i}.txt", text.encode()
        else:
            yield f"{i}.json", json.dumps({"caption": text}).encode()


def tar_bytes() -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, BytesIO(content))
    return buffer.getvalue()


def parquet_bytes(**options: object) -> bytes:
    pictures = [content for name, content in members() if name.endswith("png")]
    table = pa.table({"image": pictures, "caption": list(COLOURS)})
    buffer = BytesIO()
    pq.write_table(table, buffer, row_group_size=3, **options)
    return buffer.getvalue()


def csv_bytes() -> bytes:
    text = StringIO()
    rows = csv.writer(text)
    rows.writerow(["path", "caption"])
    rows.writerows([f"{i}.png", text] for i, text in enumerate(COLOURS))
    return text.getvalue().encode()


SOURCES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "tars": ("x.tar", tar_bytes),
    "parquet": ("x.parquet", lambda: parquet_bytes(write_page_checksum=True)),
    "csv": ("x.csv", csv_bytes),
}


def examine(scheme: str, path: Path) -> Counter[str]:
    """Open a source and look at every row: no row may show another one's picture.

    A caption that damage made (a letter flipped) names no colour, and so says nothing;
    in a CSV nothing shows that a path became another one, so there the path decides.
    """
    seen: Counter[str] = Counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pairs = open_pairs(Data(source=f"{scheme}:{path}", max_broken_share=0.99))
    except UserError as error:
        assert str(path.parent) in str(error)
        assert "\n  File " not in str(error)
        return Counter({"refused": 1})
    seen.update(pairs.dropped)
    for row in range(len(pairs)):
        caption = pairs.captions(row)[0]
        if scheme == "csv":
            caption = f"colour {Path(pairs.key(row)).stem}"
        try:
            colour = pairs.image(row).getpixel((0, 0))
        except Broken as broken:
            seen[broken.kind] += 1
            continue
        assert COLOURS.get(caption, colour) == colour
        seen["right" if caption in COLOURS else "other caption"] += 1
    pairs.fingerprint()
    return seen


def placed(tmp_path: Path, scheme: str, content: bytes) -> Path:
    """A damaged file, and the pictures that a CSV names."""
    name, _ = SOURCES[scheme]
    if not (tmp_path / "0.png").exists():
        for member, picture in members():
            (tmp_path / member).write_bytes(picture)
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize("scheme", SOURCES)
def test_a_whole_source_is_right(tmp_path: Path, scheme: str) -> None:
    path = placed(tmp_path, scheme, SOURCES[scheme][1]())
    assert examine(scheme, path) == {"right": 8}


@pytest.mark.parametrize("scheme", SOURCES)
def test_a_cut_source_is_refused_or_right(tmp_path: Path, scheme: str) -> None:
    """40 lengths; a tar and a parquet are never whole, so that all is said."""
    content = SOURCES[scheme][1]()
    for length in np.linspace(0, len(content) - 1, 40).astype(int):
        if scheme == "tars" and length >= 16 * 1024 + 512:
            continue  # all members and a mark of the end: nothing is missing
        seen = examine(scheme, placed(tmp_path, scheme, content[:length]))
        assert scheme == "csv" or seen["refused"] == 1


@pytest.mark.parametrize("scheme", SOURCES)
def test_flipped_bits_of_a_source_never_show_a_wrong_picture(
    tmp_path: Path, scheme: str
) -> None:
    content, draw = SOURCES[scheme][1](), random.Random(scheme)
    used = 16 * 1024 if scheme == "tars" else len(content)  # the rest is padding
    outcomes: Counter[str] = Counter()
    for _ in range(60):
        damaged = bytearray(content)
        damaged[draw.randrange(used)] ^= 1 << draw.randrange(8)
        outcomes += examine(scheme, placed(tmp_path, scheme, bytes(damaged)))
    assert outcomes["right"] > 0
    assert sum(outcomes.values()) > outcomes["right"]


@pytest.mark.parametrize("scheme", SOURCES)
def test_overwritten_stretches_of_a_source_never_show_a_wrong_picture(
    tmp_path: Path, scheme: str
) -> None:
    content, draw = SOURCES[scheme][1](), random.Random(scheme)
    used = 16 * 1024 if scheme == "tars" else len(content)
    for _ in range(30):
        at, length = draw.randrange(used), draw.randrange(1, 700)
        damaged = content[:at] + draw.randbytes(length) + content[at + length :]
        examine(scheme, placed(tmp_path, scheme, damaged))


CSVS: dict[str, bytes] = {
    "quote left open": b'path,caption\n0.png,"colour 0\n1.png,colour 1\n',
    "zeros inside": b"path,caption\n0.png,col\0our 0\n1.png,colour 1\n",
    "zero in a path": b"path,caption\n0\0.png,colour 0\n1.png,colour 1\n",
    "latin-1": b"path,caption\n0.png,\xe9\n1.png,colour 1\n",
    "utf-16": "path,caption\n0.png,colour 0\n".encode("utf-16"),
    "returns alone": b"path,caption\r0.png,colour 0\r1.png,colour 1\r",
    "many commas": b"path,caption\n" + b"," * 10_000 + b"\n1.png,colour 1\n",
    "a path of a megabyte": b"path,caption\n" + b"a" * 10**6 + b",x\n1.png,colour 1\n",
    "a folder for a path": b"path,caption\n.,here\n1.png,colour 1\n",
    "a device": b"path,caption\n/dev/zero,endless\n1.png,colour 1\n",
    "a missing file": b"path,caption\nno.png,x\n1.png,colour 1\n",
    "an address": b"path,caption\nhttps://a.org/1.png,x\n1.png,colour 1\n",
    "a row twice": b"path,caption\n1.png,colour 1\n1.png,colour 1\n",
    "surrogates": b"path,caption\n0.png,\xed\xa0\x80\n1.png,colour 1\n",
    "spaces": b"path,caption\n 1.png , colour 1 \n",
    "the same column": b"path,caption,caption\n1.png,colour 1,x\n",
}


@pytest.mark.parametrize("name", CSVS)
def test_strange_tables_are_refused_or_right(tmp_path: Path, name: str) -> None:
    seen = examine("csv", placed(tmp_path, "csv", CSVS[name]))
    assert seen["right"] >= 1 or seen["refused"] == 1


def test_a_run_over_a_broken_tenth_goes_on_and_counts_kinds(
    tmp_path: Path, preprocess, tokenizer, make_tar
) -> None:
    files = []
    for i in range(100):
        files.append(
            (f"{i:03d}.png", saved(Image.new("RGB", (4, 4), (i, 1, 2)), "PNG"))
        )
        files.append((f"{i:03d}.txt", b"red %d" % i))
    for at, (content, _) in enumerate(list(STRANGE.values())[:10]):
        files[20 * at] = (files[20 * at][0], content)
    path = make_tar(tmp_path / "x.tar", files)

    def loader(share: float) -> Loader:
        pairs = open_pairs(Data(source=f"tars:{path}"))
        return Loader(
            pairs,
            range(100),
            preprocess,
            tokenizer,
            seed=0,
            batch=50,
            max_broken_share=share,
        )

    batches = loader(0.1)
    for step in range(4):
        batch = batches.batch(step)
        for text, pixels in zip(batch.captions, batch.pixels, strict=True):
            assert pixels.ravel().tolist() == [int(text.split()[1]), 1, 2]
    assert counts_by_kind(batches.broken) == {"not a picture": 9, "empty": 1}
    with pytest.raises(UserError, match=r"broken(.|\n)*x/010: not a picture"):
        strict = loader(0.01)
        for step in range(4):
            strict.batch(step)


def test_more_than_two_hundred_bad_inputs_were_tried() -> None:
    pictures = len(WHOLE) * (13 + 20 + 12) + 4 + len(STRANGE)
    assert pictures + len(SOURCES) * (25 + 60 + 30) + len(CSVS) > 1000
