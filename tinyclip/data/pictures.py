"""A picture file as an upright RGB image, or the reason why not."""

from __future__ import annotations

import stat
import threading
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from ..errors import UserError
from .broken import Broken, reason, too_many_broken
from .png import check_png, without_words

__all__ = [
    "Broken",
    "RGB",
    "decode_picture",
    "parse_background",
    "read_file",
    "read_picture",
    "too_many_broken",
]

RGB = tuple[int, int, int]

# Formats that say what they are in their first bytes and need no other program: TGA
# takes nearly any bytes for a picture, EPS starts Ghostscript.
FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "AVIF",
    "PPM",
    "JPEG2000",
)
# what files of these formats are called
SUFFIXES = tuple(
    ".png .jpg .jpeg .jpe .jfif .webp .gif .bmp .tif .tiff .avif .ppm .jp2".split()
)
# and what pictures of formats are called that are not read here
UNREAD_SUFFIXES = tuple(
    ".heic .heif .jxl .svg .tga .psd .eps .dng .cr2 .nef .exr .hdr".split()
)
MAGIC = {  # how files of these formats begin
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n": "PNG",
    b"RIFF": "WebP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
}
LARGEST = 2**29  # bytes of a file
# A strip of 1 x 60,000 pixels, scaled so that its short side is 224, has 3 billion.
NARROWEST = 200  # long side by short side

_ORIENTATION = 0x0112  # the EXIF tag
# catch_warnings changes the process, so that loader threads must take turns
_OPENING = threading.Lock()


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
    return decode_picture(read_file(path), background)


def read_file(path: Path) -> bytes:
    """The bytes of a file; raises `Broken`."""
    if {"http:", "https:"} & set(path.parts):
        raise Broken("missing", "an address on the web; only local files are read")
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # reading a device or a pipe may never end
            raise Broken("unreadable", "not a file")
        if state.st_size > LARGEST:
            raise Broken("too large", f"{state.st_size} bytes")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise Broken("missing", "there is no such file") from None
    except (OSError, ValueError) as error:
        raise Broken("unreadable", reason(error)) from None


def decode_picture(content: bytes, background: RGB) -> Image.Image:
    """An upright RGB image.

    EXIF rotation is applied, transparency is laid on `background`, 16-bit greys keep
    their range, CMYK and palettes become RGB; of an animation the first frame.
    A file that was cut gives no picture, nor does a JPEG whose end is zeros. Bits that
    flipped are noticed where the format has checksums (PNG), and cannot be elsewhere.

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
        raise _unidentified(content) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Broken("too large", reason(error)) from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        cut = "truncated" in str(error).lower() or _webp_is_cut(content)
        raise Broken("truncated" if cut else "unreadable", reason(error)) from None


def _open(content: bytes) -> Image.Image:
    try:
        return _opened(content)
    except ValueError as error:
        if "MAX_TEXT" not in str(error):
            raise
        # of a PNG whose words are long only the words are left out
        return _opened(without_words(content))


def _opened(content: bytes) -> Image.Image:
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(BytesIO(content), formats=_formats())
        if image.format == "TIFF":
            image.load()  # warns; the others do not
    check_shape(image)
    image.load()
    if image.format == "PNG":
        check_png(content)
    elif image.format in ("JPEG", "MPO"):
        _check_jpeg(content)
    return image


def check_shape(image: Image.Image) -> None:
    """Refuse a strip; raises `Broken`."""
    short, long = sorted(image.size)
    if long > NARROWEST * short:
        raise Broken("too narrow", f"{image.width} x {image.height} pixels")


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this build of Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _unidentified(content: bytes) -> Broken:
    """Nothing that Pillow opens: another kind of file, or a picture without a head."""
    for start, name in MAGIC.items():
        if content.startswith(start) and (name != "WebP" or content[8:12] == b"WEBP"):
            return Broken("unreadable", f"begins as a {name} file and is none")
    return Broken("not a picture", "no known picture format")


def _webp_is_cut(content: bytes) -> bool:
    stated = int.from_bytes(content[4:8], "little") + 8
    return content[:4] == b"RIFF" and stated > len(content)


def _check_jpeg(content: bytes) -> None:
    """A JPEG whose end was never written (zeros after a torn download) has no mark of
    its end behind its pixels; the decoder would make pixels of the zeros.

    Raises:
        Broken: there is no such mark.
    """
    at = 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    if content.find(b"\xff\xd9", at) < 0:
        raise Broken("truncated", "a JPEG without an end")


def _to_rgb(image: Image.Image, background: RGB) -> Image.Image:
    transparent = "transparency" in image.info
    image = _upright(image)
    if image.mode == "RGB" and not transparent:
        return image
    if image.mode.startswith(("I", "F")):
        return _on_background(image, _from_wide(image), background)
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


def _on_background(
    wide: Image.Image, grey: Image.Image, background: RGB
) -> Image.Image:
    """Grey as RGB, with the one grey of `wide` that is transparent left out."""
    rgb = grey.convert("RGB")
    hidden = wide.info.get("transparency")
    if isinstance(hidden, int):
        mask = Image.fromarray(np.asarray(wide) == hidden)
        rgb.paste(background, mask=mask)
    return rgb


def _from_wide(image: Image.Image) -> Image.Image:
    """Greys of 16 bits or more in 8: PIL's own conversion clips at 255."""
    grey = np.nan_to_num(np.asarray(image, dtype=np.float64))
    top = float(grey.max(initial=0.0))
    # Pillow reads a PPM of more than 8 bits as I, scaled to 16
    if image.mode.startswith("I;16") or image.format == "PPM" or top > 255:
        grey = grey / 257  # 65535 becomes 255
    elif image.mode == "F" and top <= 1:
        grey = grey * 255
    return Image.fromarray(np.rint(grey).clip(0, 255).astype(np.uint8), "L")
