"""The files in an uncompressed tar file, with limits on what its headers may ask for.

Only headers are read, each once. Python's ``tarfile`` would allocate what a header says, go backwards with a negative
size, and read for ever at the end of some sparse members.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pinas_zoo.errors import UserError

HEADER_BYTES = 2**16  # of a long name or a pax header, at most
BETWEEN = 2**20  # bytes of all headers of one member
GLOBAL_HEADERS = 1000  # fields that apply to all members
LONG_NUMBER = re.compile(rb"\d{256}")  # over which tarfile's own search takes quadratic time
MAX_MEMBERS = 2**24  # of a tar file


class Member(NamedTuple):
    """A regular file in a tar file."""

    name: str
    offset: int  # of its first byte in the tar file
    size: int  # bytes


class HeaderFile(io.RawIOBase):
    """What ``tarfile`` reads headers from: a part of a file, forwards, in small pieces.

    Args:
        file: The file.
        start: First byte of the part.
        size: Its bytes.
    """

    def __init__(self, file: BinaryIO, start: int, size: int):
        self.file, self.start, self.stop = file, start, start + size
        self.at, self.furthest, self.since = start, -1, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at - self.start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset <= self.furthest:  # each member takes tarfile further
            raise tarfile.ReadError(f"a header at byte {self.furthest + 1} has a wrong size")
        self.furthest, self.at = offset, self.start + offset
        return offset

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER_BYTES + tarfile.BLOCKSIZE:
            raise tarfile.ReadError(
                f"a header after byte {self.furthest + 1} has {size} bytes, more than {HEADER_BYTES}"
            )
        self.file.seek(self.at)
        data = self.file.read(max(0, min(size, self.stop - self.at)))
        self.at += len(data)
        self.since += size
        if self.since > BETWEEN or (size > tarfile.BLOCKSIZE and LONG_NUMBER.search(data)):
            raise tarfile.ReadError(f"a header after byte {self.furthest + 1} is too long")
        return data

    def next_member(self) -> None:
        """Say that the headers of a member are read."""
        self.since = 0


def regular_members(path: Path, nested: bool = False) -> Iterator[Member]:
    """The regular files in a tar file in order; links, devices and sparse files are left out.

    Args:
        path: The tar file.
        nested: Whether to enter the tar files in it, which stand for folders of their names.

    Raises:
        UserError: It is compressed, torn or not a tar file, or a header is beyond the limits.
    """
    try:
        with path.open("rb") as file:
            yield from _members(file, 0, path.stat().st_size, "", nested)
    except UserError:
        raise
    except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError, EOFError) as error:
        reason = error if isinstance(error, tarfile.TarError | OSError) else "a header is damaged"
        raise UserError(f"expected an uncompressed tar file, got {path}: {reason}; copy or unpack it again") from error


def _members(file: BinaryIO, start: int, size: int, within: str, nested: bool) -> Iterator[Member]:
    headers = HeaderFile(file, start, size)
    with tarfile.open(fileobj=headers, mode="r:") as tar:
        for count, member in enumerate(tar):
            headers.next_member()
            tar.members = []  # type: ignore[attr-defined]  # it would keep them all
            if count > MAX_MEMBERS or len(tar.pax_headers) > GLOBAL_HEADERS:
                raise tarfile.ReadError(f"it has more than {MAX_MEMBERS} members or {GLOBAL_HEADERS} global fields")
            if not member.isreg() or member.issparse():
                continue
            if member.size < 0 or member.offset_data + member.size > size:
                raise tarfile.ReadError(f"no header and no end at byte {member.offset_data + member.size}")
            place = start + member.offset_data
            if nested and member.name.lower().endswith(".tar"):  # of a class each, as ImageNet's
                yield from _members(file, place, member.size, os.path.splitext(member.name)[0] + "/", False)
            else:
                yield Member(within + member.name, place, member.size)
        end = tar.offset
    file.seek(start + end)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile takes what is no header for the end
        raise tarfile.ReadError(f"no header and no end at byte {end}")


def read_part(path: Path, offset: int, size: int) -> bytes:
    """Bytes of a file."""
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        return file.read(size)
