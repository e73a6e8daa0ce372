"""JPEG files whose data end before the picture does.

libjpeg paints what is missing grey, and Pillow does not tell. It does tell when the file simply ends; but a download or
a repair tool may have put the end marker behind the data that there were.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# a marker inside entropy-coded data; neither a stuffed byte, a restart, nor a fill byte
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
PROGRESSIVE = (0xC2, 0xCA)
ALL = 2**64 - 1  # coefficients of a block, a bit each
SCAN, END = 0xDA, 0xD9
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ARITHMETIC = frozenset(range(0xC9, 0xD0))  # frames in which the coder may leave out zeros at the end
NOISE = np.random.default_rng(0).integers(0, 255, 256, dtype=np.uint8).tobytes()  # without 0xff
GREY = 128  # of what libjpeg paints


class Scans(NamedTuple):
    """What the markers of a JPEG say."""

    number: int = 0  # of scans; more than one in progressive files
    components: int = 0  # 3, 1 for grey, 4 for CMYK
    arithmetic: bool = False
    exact: bool = True  # no bit of a coefficient is left to a scan that is not there
    end: int | None = None  # offset of the end marker; None: there is none


def is_jpeg(start: bytes) -> bool:
    """Whether a file of these first bytes is a JPEG."""
    return start[:3] == b"\xff\xd8\xff"


def scans_of(data: bytes) -> Scans:
    """Go through the markers of a JPEG up to its end."""
    at, scans = 2, Scans()
    known: dict[int, int] = {}  # of each component, the coefficients of which a scan gave the last bit
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == END:
            return scans._replace(end=at, exact=all(bits == ALL for bits in known.values()))
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        after = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body, at = data[at + 4 : after], after
        if marker in FRAMES and len(body) > 5:
            scans = scans._replace(components=body[5], arithmetic=marker in ARITHMETIC)
            known = dict.fromkeys(body[6::3], 0) if marker in PROGRESSIVE else {}
        if marker == SCAN:
            scans = scans._replace(number=scans.number + 1)
            if known and len(body) > 3 and not body[-1] & 15:
                given = sum(1 << k for k in range(body[-3], min(body[-2], 63) + 1))
                known.update({name: known.get(name, 0) | given for name in body[1:-3:2]})
            found = MARKER.search(data, at)
            at = found.start() if found else len(data)
    return scans


def is_torn(data: bytes, scans: Scans, pixels: np.ndarray, decode: Callable[[bytes], np.ndarray]) -> bool:
    """Whether the picture depends on bytes that are put behind its data, as it does when some are missing.

    Only suspects are decoded again: those whose last pixel is grey, and those of several scans or of CMYK. The check
    finds nothing when less than the last block is missing, or in arithmetic coding.

    Args:
        data: The file.
        scans: Of the file.
        pixels: The picture: uint8 H x W x 3.
        decode: Makes the picture of a changed file.
    """
    if scans.end is None:
        return scans.number > 1  # of one scan, Pillow has read all rows before it looked for the end
    if not scans.exact:
        return True
    grey = all(abs(int(value) - GREY) <= 1 for value in pixels[-1, -1])
    if scans.arithmetic or not (grey or scans.number > 1 or scans.components == 4):
        return False
    stuffing = b"\0" if data[scans.end - 1] == 0xFF else b""
    return not np.array_equal(decode(data[: scans.end] + stuffing + NOISE + data[scans.end :]), pixels)
