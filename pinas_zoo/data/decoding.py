"""An image file to pixels, and pixels to the size that a network sees without augmentation.

Search, training, classify, detect and segment read images here alone, so that all of them see the same pixels. What is
accepted and refused is described in docs/security.md. Needs Pillow and NumPy alone.
"""

from __future__ import annotations

import functools
import io
import logging
import warnings
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from pinas_zoo.data.jpeg import is_jpeg, is_torn, scans_of

Interpolation = Literal["bicubic", "bilinear"]
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
LARGEST = 64  # a resized image has at most so many times the pixels of the crop, or it is cropped first

# Raster formats that Pillow decodes in this process. Left out are EPS (given to Ghostscript), WMF, IPTC (opens what it
# contains as any format), FITS (unpacks gzip of any size), and those that Pillow only identifies.
FORMATS = (
    "PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF", "TGA", "ICO", "DIB", "PCX", "SGI",
    "PSD", "QOI", "DDS", "ICNS", "CUR", "DCX", "IM", "MSP", "SUN", "XBM", "XPM",
)  # fmt: skip
MAX_BYTES = 2**29  # of a file
MAX_SIDE = 2**17  # pixels
MAX_PIXELS = 2**26  # of a file that is decoded in full
MAX_PIXELS_OF = {"WEBP": 2**25, "JPEG2000": 2**25}  # whose decoders take 16 bytes a pixel and more
MAX_JPEG_PIXELS = 2**29  # of a JPEG of one scan, which is decoded at a half, a quarter or an eighth of its size
MAX_SCANS = 100  # of a progressive JPEG; each goes over the whole image
KEPT_PIXELS = 2**25  # a larger image is reduced to a half, a quarter or an eighth while it is read
STRIP = 2**20  # pixels that are converted to RGB at once, about
ORIENTATION = 0x0112  # the EXIF tag

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints what its decoders log of broken files


class UnreadableImage(OSError):
    """An image that is not accepted; the message is the reason, without the file's name."""


@functools.cache
def extensions() -> frozenset[str]:
    """Extensions of the accepted formats, in lower case and with the dot."""
    return frozenset(
        ending for ending, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO")
    )  # MPO is JPEG


def decode(source: bytes | BinaryIO) -> np.ndarray:
    """An image file to uint8 H x W x 3 in RGB.

    Pixels are turned as EXIF says. What is transparent is white. 16 bits a channel are scaled to 8, grey and palette
    become RGB. Of several frames the first is taken. An image of more than ``KEPT_PIXELS`` is reduced.

    Args:
        source: The file's bytes, or the opened file at its first byte.

    Raises:
        UnreadableImage: Not an image of an accepted format, torn, too large, or of values without a fixed range.
    """
    file = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            start = file.read(3)
            file.seek(0)
            return _decode_jpeg(file.read(MAX_BYTES)) if is_jpeg(start) else _decode_other(file)
    except UnreadableImage:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UnreadableImage(f"expected at most {MAX_PIXELS / 1e6:.0f} million pixels, got more") from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage("its format is not one that is read (EPS, PDF and SVG never are)") from None
    except MemoryError:
        raise UnreadableImage("it takes more memory than there is") from None
    except Exception as error:  # Pillow's decoders raise many kinds; all mean that this image cannot be used
        raise UnreadableImage(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _decode_other(file: BinaryIO) -> np.ndarray:
    _check_size(*_webp_size(file), "WEBP")
    with Image.open(file, formats=FORMATS) as image:
        _check_size(*image.size, image.format)
        return _pixels(image)


def _decode_jpeg(data: bytes) -> np.ndarray:
    image = JpegImageFile(io.BytesIO(data))  # Image.open would refuse sizes that can be decoded at a fraction
    scans = scans_of(data)
    if scans.number > MAX_SCANS:
        raise UnreadableImage(f"expected a JPEG of at most {MAX_SCANS} scans, got {scans.number}")
    _check_size(*image.size, "JPEG", MAX_PIXELS if scans.number > 1 else MAX_JPEG_PIXELS)  # several are held in full
    pixels = _draft(image)
    if is_torn(data, scans, pixels, lambda changed: _draft(JpegImageFile(io.BytesIO(changed)))):
        raise UnreadableImage("image file is truncated: its data end before the picture does")
    return pixels


def _draft(image: JpegImageFile) -> np.ndarray:
    factor = _factor(*image.size)
    if factor > 1:
        image.draft(None, (image.width // factor, image.height // factor))
    return _pixels(image)


def _check_size(width: int, height: int, kind: str | None, limit: int = MAX_PIXELS) -> None:
    limit = MAX_PIXELS_OF.get(kind or "", limit)
    if width * height > limit or max(width, height) > MAX_SIDE:
        raise UnreadableImage(
            f"expected a {kind} of at most {limit / 1e6:.0f} million pixels and sides of at most {MAX_SIDE}, got "
            f"{width} x {height}; make it smaller"
        )


def _webp_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height of a WebP, for which Pillow allocates before it tells them; 0 and 0 for other files."""
    head = file.read(30)
    file.seek(0)
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return 0, 0
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def _factor(width: int, height: int) -> int:
    """By how much an image is reduced: 1, 2, 4 or 8."""
    return next((factor for factor in (1, 2, 4) if width * height <= KEPT_PIXELS * factor**2), 8)


def _pixels(image: Image.Image) -> np.ndarray:
    """An opened image to uint8 H x W x 3, upright."""
    image.load()
    factor = _factor(*image.size)
    width, height = (-(-side // factor) for side in image.size)
    if image.mode == "RGB" and "transparency" not in image.info and factor == 1:
        pixels = np.array(image)
    else:  # in strips, because each step of the conversion makes a copy
        pixels = np.empty((height, width, 3), dtype=np.uint8)
        rows = max(8, STRIP // image.width // 8 * 8)  # a multiple of each factor
        for top in range(0, image.height, rows):
            bottom = min(top + rows, image.height)
            part = image if bottom - top == image.height else image.crop((0, top, image.width, bottom))
            rgb = to_rgb(part, image.format)
            reduced = rgb if factor == 1 else rgb.reduce(factor)
            pixels[top // factor : -(-bottom // factor)] = np.asarray(reduced)
    return _upright(pixels, image)


def to_rgb(image: Image.Image, kind: str | None) -> Image.Image:
    """An image of any mode to RGB, on white where it is transparent.

    Args:
        image: A loaded image, or a part of it.
        kind: Its format.

    Raises:
        UnreadableImage: 32-bit values, whose range for black and white is not known.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):  # 0 to 65535
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        values = "whole numbers" if image.mode == "I" else "fractions"
        raise UnreadableImage(f"expected 8 or 16 bits a channel, got 32-bit {values}; save it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _upright(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Turn and mirror H x W x 3 as the image's EXIF orientation says."""
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data say nothing
        return pixels
    if orientation in (5, 6, 7, 8):  # columns are rows
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def fit(image: np.ndarray, size: int, crop_pct: float, interpolation: Interpolation = "bicubic") -> np.ndarray:
    """Shorter side to ``size / crop_pct`` pixels, then the centre: uint8 H x W x 3 to size x size x 3.

    Args:
        image: uint8 H x W x 3.
        size: Height and width of the result in pixels.
        crop_pct: ``size`` relative to the resized shorter side.
        interpolation: Pillow's filter, which also averages where the image becomes smaller.
    """
    if image.shape[:2] == (size, size) and crop_pct == 1:
        return image
    picture = Image.fromarray(image)
    how = RESAMPLING[interpolation]
    scale = round(size / crop_pct) / min(picture.size)
    width, height = (max(size, round(side * scale)) for side in picture.size)
    left, top = (width - size) // 2, (height - size) // 2
    if width * height > LARGEST * size**2:  # a long, narrow image: resize no more of it than is kept
        across, down = picture.width / width, picture.height / height
        right, bottom = (left + size) * across, (top + size) * down
        box = (left * across, top * down, min(right, picture.width), min(bottom, picture.height))
        return np.array(picture.resize((size, size), how, box=box))
    return np.array(picture.resize((width, height), how).crop((left, top, left + size, top + size)))
