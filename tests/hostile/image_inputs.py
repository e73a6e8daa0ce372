"""Image files: torn, lying, huge, of odd kinds, and files that only say that they are images."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pinas_zoo.data.image_files import read_pixels
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, file_of, table

RED = (200, 30, 40)
SIDE = 24


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (SIDE, SIDE), **options: Any) -> bytes:
    """An image of a red gradient."""
    rows = np.linspace(0, 1, size[1])[:, None, None] * np.ones((1, size[0], 1))
    image = Image.fromarray((rows * np.array(RED)).astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(
    width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"", *extra: tuple[bytes, bytes]
) -> bytes:
    """A PNG of any header; the checksums are right."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    between = b"".join(chunk(name, body) for name, body in extra)
    return b"\x89PNG\r\n\x1a\n" + head + between + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def of_size(width: int, height: int) -> Callable[[np.ndarray], bool]:
    return lambda pixels: pixels.shape == (height, width, 3) and pixels.dtype == np.uint8


def is_red(pixels: np.ndarray) -> bool:
    """Whether the last row is the gradient's end, within what lossy formats change."""
    return pixels.ndim == 3 and bool((abs(pixels[-1].mean(0) - np.array(RED)) < 40).all())


def is_grey(value: int) -> Callable[[np.ndarray], bool]:
    return lambda pixels: bool((pixels == value).all())


def jpeg_with_size(width: int, height: int) -> bytes:
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def torn(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def special(kind: str) -> Make:
    """Something in the file system under an image's name."""

    def make(folder: Path) -> Path:
        path = folder / "x.png"
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "loop":
            path.symlink_to("x.png")
        elif kind == "dangling":
            path.symlink_to("gone.png")
        elif kind == "link":
            (folder / "real.png").write_bytes(encoded("PNG"))
            path.symlink_to("real.png")
        elif kind == "sparse":
            with path.open("wb") as file:
                file.write(encoded("PNG"))
                file.truncate(3 * 2**30)
        return path

    return make


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 24\n%%EndComments\n(EXECUTED) (w) file closefile showpage\n%%EOF\n"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>'
KINDS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif", "GIF": ".gif", "PPM": ".ppm",
         "JPEG2000": ".jp2", "TGA": ".tga", "ICO": ".ico", "PCX": ".pcx", "SGI": ".sgi"}  # fmt: skip


def _sound() -> dict[str, tuple[Make, Promise]]:
    sixteen = np.full((SIDE, SIDE), 128 * 257, dtype=np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(sixteen).save(buffer, "PNG")
    rows: dict[str, tuple[Make, Promise]] = {
        f"sound-{kind.lower()}": (file_of(encoded(kind, size=(32, 32)), "x" + ending), Accepted(is_red))
        for kind, ending in KINDS.items()
    }
    palette = Image.new("P", (SIDE, SIDE), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    clear = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    return rows | {
        "sixteen-bits": (file_of(buffer.getvalue(), "x.png"), Accepted(is_grey(128))),
        "transparent-is-white": (file_of(_saved(clear), "x.png"), Accepted(is_grey(255))),
        "palette": (file_of(_saved(palette), "x.png"), Accepted(lambda p: p[0, 0].tolist() == [10, 20, 30])),
        "palette-beyond-its-end": (file_of(png(4, 1, 8, 3, zlib.compress(b"\0\0\1\2\xff"), (b"PLTE", b"abc")), "x.png"), Either()),
        "one-bit": (file_of(png(8, 1, 1, 0, zlib.compress(b"\0\xaa")), "x.png"), Accepted(of_size(8, 1))),
        "one-pixel": (file_of(encoded("PNG", size=(1, 1)), "x.png"), Accepted(of_size(1, 1))),
        "cmyk-jpeg": (file_of(encoded("JPEG", "CMYK"), "x.jpg"), Accepted(is_red)),
        "grey-jpeg": (file_of(encoded("JPEG", "L"), "x.jpg"), Accepted(of_size(SIDE, SIDE))),
        "progressive-jpeg": (file_of(encoded("JPEG", progressive=True), "x.jpg"), Accepted(is_red)),
        "turned-by-exif": (file_of(encoded("JPEG", size=(40, 8), exif=exif), "x.jpg"), Accepted(of_size(8, 40))),
        "name-lies": (file_of(encoded("GIF"), "x.jpg"), Accepted(is_red)),
        "bytes-after-the-end": (file_of(encoded("PNG") + b"\0" * 4096, "x.png"), Accepted(is_red)),
        "zip-after-the-end": (file_of(encoded("JPEG") + b"PK\3\4" + b"\0" * 64, "x.jpg"), Accepted(is_red)),
        "animated-gif": (file_of(encoded("GIF", save_all=True, append_images=[Image.new("RGB", (SIDE, SIDE))] * 3), "x.gif"), Accepted(of_size(SIDE, SIDE))),
        "link": (special("link"), Accepted(is_red)),
        "palette-alpha-64mp": (file_of(_saved(Image.new("P", (9000, 7000), 0), transparency=0), "x.png"), Accepted()),
        "jpeg-of-268mp": (file_of(_saved(Image.new("L", (16000, 16800)), "JPEG"), "x.jpg"), Accepted()),
        "thin-30000x2": (file_of(encoded("PNG", size=(30000, 2)), "x.png"), Accepted(of_size(30000, 2))),
        "exif-garbage": (file_of(encoded("JPEG", exif=b"Exif\0\0MM\0*" + b"\xff" * 200), "x.jpg"), Accepted(is_red)),
        "exif-loop": (file_of(encoded("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08"), "x.jpg"), Accepted(is_red)),
        "icc-garbage": (file_of(encoded("PNG", icc_profile=b"\xff" * 3000), "x.png"), Accepted(is_red)),
        "text-bomb": (file_of(png(1, 1, 8, 0, zlib.compress(b"\0\0"), (b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))), "x.png"), Either()),
        "icc-bomb": (file_of(png(1, 1, 8, 0, zlib.compress(b"\0\0"), (b"iCCP", b"a\0\0" + zlib.compress(bytes(2**26)))), "x.png"), Either()),
    }  # fmt: skip


def _saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _broken() -> dict[str, tuple[Make, Promise]]:
    jpeg, scans = encoded("JPEG", size=(64, 64)), encoded("JPEG", progressive=True, size=(64, 64))
    start = scans.rindex(b"\xff\xda")
    rows: dict[str, tuple[Make, Promise]] = {
        f"torn-{kind.lower()}-{share:g}": (file_of(torn(encoded(kind, size=(64, 64)), share), "x" + ending), Refused())
        for kind, ending in KINDS.items()
        for share in (0.02, 0.5)
        if kind not in ("ICO", "GIF", "SGI", "PCX", "JPEG2000") or share < 0.1
    }
    rows |= {
        f"torn-{kind.lower()}-{share:g}": (
            file_of(torn(encoded(kind, size=(64, 64)), share), "x" + KINDS[kind]),
            Either(),
        )
        for kind in ("ICO", "GIF", "SGI", "PCX", "JPEG2000")
        for share in (0.5, 0.9)
    }
    return rows | {
        "empty": (file_of(b"", "x.png"), Refused("empty")),
        "text": (file_of(b"no image", "x.png"), Refused()),
        "html": (file_of(b"<html>404</html>", "x.jpg"), Refused()),
        "zeros": (file_of(bytes(4096), "x.png"), Refused()),
        "pickle": (file_of(b"\x80\x04cos\nsystem\n(S'touch EXECUTED'\ntR.", "x.png"), Refused()),
        "eps-named-png": (file_of(EPS, "x.png"), Refused()),
        "eps": (file_of(EPS, "x.eps"), Refused()),
        "svg": (file_of(SVG, "x.svg"), Refused()),
        "pdf": (file_of(b"%PDF-1.4\n1 0 obj<</OpenAction 1 0 R>>endobj", "x.pdf"), Refused()),
        "wmf": (file_of(b"\xd7\xcd\xc6\x9a" + bytes(80), "x.wmf"), Refused()),
        "fits": (file_of(b"SIMPLE  =                    T".ljust(2880), "x.fits"), Refused()),
        "iptc": (file_of(b"\x1c\x03\x3c" + bytes(200), "x.iim"), Refused()),
        "hdf5": (file_of(b"\x89HDF\r\n\x1a\n" + bytes(64), "x.h5"), Refused()),
        "jpeg-with-its-end-put-behind-half": (file_of(jpeg[: len(jpeg) // 2] + b"\xff\xd9", "x.jpg"), Refused()),
        "jpeg-without-its-tables": (file_of(jpeg[:2] + jpeg[jpeg.index(b"\xff\xda") :], "x.jpg"), Refused()),
        "jpeg-of-500-scans": (file_of(scans[:-2] + scans[start:-2] * 500 + b"\xff\xd9", "x.jpg"), Refused("scans")),
        "jpeg-says-65500": (file_of(jpeg_with_size(65500, 65500), "x.jpg"), Refused()),
        "jpeg-says-0": (file_of(jpeg_with_size(0, 10), "x.jpg"), Refused()),
        "png-says-2e31": (file_of(png(2**31 - 1, 2**31 - 1), "x.png"), Refused()),
        "png-says-170mp": (file_of(png(17000, 10000, 8, 3, zlib.compress(bytes(2**20)), (b"PLTE", b"abc")), "x.png"), Refused("pixels")),
        "png-says-0": (file_of(png(0, 0), "x.png"), Refused()),
        "png-is-200001-long": (file_of(png(200_001, 1, 8, 0, zlib.compress(bytes(200_002))), "x.png"), Refused("sides")),
        "png-of-900mp": (file_of(png(30000, 30000, 1, 0, zlib.compress(bytes(2**20))), "x.png"), Refused("pixels")),
        "webp-says-16383": (file_of(b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xfe\x3f\0\xfe\x3f\0" + bytes(40), "x.webp"), Refused("pixels")),
        "tiff-loop": (file_of(b"II*\0\x08\0\0\0\x01\0\0\1\3\0\1\0\0\0\x10\0\0\0\x08\0\0\0", "x.tif"), Refused()),
        "tiff-huge-strip": (file_of(b"II*\0\x08\0\0\0\x03\0" + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in ((256, 9999), (257, 9999), (279, 2**32 - 1))) + bytes(4), "x.tif"), Refused()),
        "gif-says-65535": (file_of(b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\0\0;", "x.gif"), Refused("pixels")),
        "bmp-negative": (file_of(encoded("BMP")[:18] + struct.pack("<ii", -5, -5) + encoded("BMP")[26:], "x.bmp"), Refused()),
        "ppm-of-1e20": (file_of(b"P6 100000000000000000000 1 255\n", "x.ppm"), Refused()),
        "ppm-torn": (file_of(b"P6 24 24 255\nabc", "x.ppm"), Refused()),
        "int32-tiff": (file_of(_saved(Image.fromarray(np.full((8, 8), 70000, np.int32)), "TIFF"), "x.tif"), Refused("32-bit")),
        "float-tiff": (file_of(_saved(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), "x.tif"), Refused("32-bit")),
        "folder": (special("folder"), Refused("folder")),
        "pipe": (special("pipe"), Refused("pipe")),
        "dev-zero": (special("device"), Refused("device")),
        "link-loop": (special("loop"), Refused()),
        "dangling-link": (special("dangling"), Refused("not there")),
        "sparse-3gib": (special("sparse"), Refused("MiB")),
        "gone": (lambda folder: folder / "gone.png", Refused("not there")),
        "name-with-nul": (lambda folder: Path(str(folder / "a") + "\0.png"), Refused()),
        "name-too-long": (lambda folder: folder / ("a" * 300 + ".png"), Refused()),
    }  # fmt: skip


def changed(kind: str, seed: int) -> bytes:
    """An image with a few bytes changed, left out or doubled by chance."""
    chance, data = random.Random(seed), bytearray(encoded(kind, size=(40, 40)))
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(data))
        if chance.random() < 0.6:
            data[at] = chance.randrange(256)
        elif chance.random() < 0.5:
            del data[at : at + chance.randint(1, 30)]
        else:
            data[at:at] = data[at : at + chance.randint(1, 30)]
    return bytes(data)


def _changed() -> dict[str, tuple[Make, Promise]]:
    return {
        f"changed-{kind.lower()}-{seed}": (file_of(changed(kind, seed), "x" + ending), Either())
        for kind, ending in KINDS.items()
        for seed in range(8)
    }


def inputs() -> tuple[Input, ...]:
    return table("image", read_pixels, {**_sound(), **_broken(), **_changed()})
