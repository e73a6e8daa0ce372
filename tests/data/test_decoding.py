"""One reader of images: every mode and format as its viewer shows it, torn and huge files refused, nothing executed."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from pinas_zoo.data import decoding
from pinas_zoo.data.decoding import FORMATS, UnreadableImage, decode, extensions
from pinas_zoo.data.image_files import central_part, read_image, read_pixels
from pinas_zoo.data.jpeg import scans_of
from pinas_zoo.errors import UserError


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((122, 90))


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "TGA", "PCX", "JPEG2000", "QOI"])
def test_every_format_is_read_and_half_of_a_file_is_not(picture, kind):
    data = saved(picture, kind)
    with Image.open(io.BytesIO(data)) as expected:
        assert np.array_equal(decode(data), np.asarray(expected.convert("RGB")))
    for part in (0.3, 0.9):
        with pytest.raises(UnreadableImage):
            decode(data[: int(part * len(data))])


def test_extensions_are_those_of_the_formats():
    assert {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"} <= extensions()
    assert not {".eps", ".ps", ".pdf", ".svg", ".wmf", ".fits", ".h5", ".mpg"} & extensions()


@pytest.mark.parametrize(
    "start", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", b"\xd7\xcd\xc6\x9a"]
)
def test_nothing_is_given_to_another_program(tmp_path, monkeypatch, start):
    """Pillow hands EPS to Ghostscript, whatever the file is called."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "EPS" not in FORMATS
    for name in ("a.eps", "a.png", "a.jpg"):
        (tmp_path / name).write_bytes(start + b"\0" * 200)
        with pytest.raises(UserError, match=rf"{name}, which cannot be read"):
            read_pixels(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_modes_become_rgb_on_white():
    grey16 = Image.fromarray(np.array([[0, 3000, 40000, 65535]], np.uint16))
    for kind in ("PNG", "TIFF", "PPM"):
        assert decode(saved(grey16, kind))[0].tolist() == [[v] * 3 for v in (0, 11, 155, 255)]
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    clear.putpixel((1, 0), (255, 0, 0, 255))
    for image in (clear, clear.convert("PA"), clear.quantize(4)):
        kind = "TIFF" if image.mode == "PA" else "PNG"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoding, "STRIP", 1)
            assert decode(saved(image if image.mode != "PA" else clear, kind))[0].tolist() == [[255] * 3, [255, 0, 0]]
    assert decode(saved(clear.convert("LA"), "PNG"))[0].tolist() == [[255] * 3, [76] * 3]
    keyed = saved(Image.new("L", (2, 1), 7), "PNG", transparency=7)
    assert decode(keyed).min() == 255
    cmyk = Image.new("CMYK", (2, 1), (0, 255, 255, 0))
    assert decode(saved(cmyk, "TIFF"))[0].tolist() == [[255, 0, 0]] * 2
    for mode in ("F", "I"):
        with pytest.raises(UnreadableImage, match="expected 8 or 16 bits a channel, got 32-bit"):
            decode(saved(Image.new(mode, (2, 2)), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_that_of_exif(picture, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(picture, kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    assert np.array_equal(decode(data), np.asarray(expected))


@pytest.mark.parametrize("options", [{}, dict(progressive=True), dict(subsampling=0), dict(restart_marker_rows=1)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_whose_end_was_put_behind_missing_data_is_torn(picture, mode, options):
    """libjpeg paints the rest grey and Pillow does not tell."""
    data = saved(picture.convert(mode), "JPEG", **options)
    whole = decode(data)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(whole, np.asarray(image.convert("RGB")))
    for part in (0.75, 0.85, 0.95):
        with pytest.raises(UnreadableImage, match="truncated"):
            decode(data[: int(part * len(data))] + b"\xff\xd9")
    assert np.array_equal(decode(data + b"behind the end \xff\xd8\xff\xd9"), whole)


def test_grey_jpegs_are_whole():
    """They look like what libjpeg paints in place of missing data."""
    for options in ({}, dict(progressive=True)):
        assert decode(saved(Image.new("RGB", (50, 70), (128, 128, 128)), "JPEG", **options)).std() == 0


def test_scans_of_a_jpeg_are_counted_and_limited(picture):
    data = saved(picture, "JPEG", progressive=True)
    scans = scans_of(data)
    assert scans.number > 3
    assert data[scans.end :] == b"\xff\xd9"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "MAX_SCANS", 3)
        with pytest.raises(UnreadableImage, match="at most 3 scans"):
            decode(data)


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size; it has no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(9000, 9000), (13000, 13000), (2**30, 2**30), (60_000_000, 1)])
def test_sizes_are_refused_before_anything_is_allocated(width, height):
    webp = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (16382).to_bytes(3, "little") * 2
    jpeg = bytearray(saved(Image.new("L", (8, 8)), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    tracemalloc.start()
    try:
        for data in (png(width, height), webp, bytes(jpeg)):
            with pytest.raises(UnreadableImage, match=r"expected .*at most .*pixels"):
                decode(data)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_large_images_are_reduced_while_they_are_read(picture, kind, mode, monkeypatch):
    if kind == "JPEG" and mode != "RGB":
        return
    data = saved(picture.convert(mode), kind)
    whole = decode(data)
    monkeypatch.setattr(decoding, "KEPT_PIXELS", picture.width * picture.height // 3)
    monkeypatch.setattr(decoding, "STRIP", 16 * picture.width)
    half = decode(data)
    assert half.shape == (45, 61, 3)
    expected = np.asarray(Image.fromarray(whole).reduce(2)).astype(int)
    assert np.abs(half - expected).mean() < (2 if kind == "JPEG" else 0.01)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "empty.png").touch()
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(2**30)
    for name, what in (
        ("pipe", "a named pipe"),
        ("folder", "a folder"),
        ("device", "a device"),
        ("empty", "empty"),
        ("sparse", "of 1024 MiB, more than 512"),
        ("none", "not there"),
    ):
        with pytest.raises(UserError, match=rf"expected an image, got .*{name}\.png, which is {what}"):
            read_image(tmp_path / f"{name}.png", 3)


def test_the_middle_of_a_narrow_image_is_what_a_centre_crop_takes():
    from timm.data import create_transform

    transform = create_transform((3, 32, 32), crop_pct=0.875, interpolation="bilinear")
    for shape in ((900, 4, 3), (3, 1001, 3)):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
        middle = central_part(image)
        assert max(middle.size) <= 64 * min(middle.size) + 1
        assert (transform(middle) - transform(image)).abs().mean() < 0.35  # at most half a pixel of noise aside
    assert central_part(Image.new("RGB", (64, 1))).size == (64, 1)
