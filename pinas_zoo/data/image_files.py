"""Image files of any kind that a user has: modes, orientation, damage."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps


def why_unreadable(path: Path) -> str | None:
    """The reason why an image file cannot be read, in one line; None when it can be read to its end."""
    if not path.is_file():
        return f"expected an image, got {path}, which is {'a folder' if path.is_dir() else 'not there'}"
    try:
        read_image(path, 3)
    except Exception as error:  # Pillow raises many types of errors for damaged files
        reason = " ".join(str(error).split()).replace(repr(str(path)), "it") or type(error).__name__
        return f"expected an image, got {path}, which cannot be read: {reason[:200]}"
    return None


def read_image(path: Path, channels: int) -> Image.Image:
    """An image of any mode as RGB (grey for one channel), rotated as its EXIF data say, on white where transparent.

    16-bit grey is scaled to 8 bits; Pillow would clip it at 255.
    """
    with Image.open(path) as file:
        image: Image.Image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I;16") or (image.mode == "I" and image.getextrema()[1] > 255):  # type: ignore[operator]
            image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return image.convert("RGB" if channels == 3 else "L")
