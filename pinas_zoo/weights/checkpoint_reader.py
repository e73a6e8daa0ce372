"""Checkpoints read as data: a pickle may hold tensors and plain values; one that asks for anything else is refused."""

from __future__ import annotations

import argparse
import contextlib
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pinas_zoo.errors import BrokenWeights, NotSafetensors, WeightsMissing, WrongShapes
from pinas_zoo.weights.tensors import check_dense, tensor_shapes, without_wrappers

Tensors = dict[str, Tensor]

_MOST_MEMBERS = 2**17  # parts of a zip file, one a tensor
_LONGEST_PICKLE = 16 * 2**20  # bytes of the list of a zip file; that of ResNeSt-50 has some 60 thousand
_MOST_OPERATIONS = 2_000_000  # of the pickles before the numbers, in the format before PyTorch 1.6
# timm's averaged weights first, as timm itself takes them; then PyTorch-Encoding, mmcv and timm; detectron2.
_STATE_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")
_CORES = ("numpy.core", "numpy._core")  # of numpy 1 and 2
# What pickles of numpy's numbers ask for, such as the best score in PyTorch-Encoding's checkpoints; and of its arrays.
_NUMBERS = {"numpy.dtype", "_codecs.encode", *(f"{core}.multiarray.scalar" for core in _CORES)}
_ARRAYS = {
    "numpy.ndarray",
    *_NUMBERS,
    *(f"{core}.{name}" for core in _CORES for name in ("multiarray._reconstruct", "numeric._frombuffer")),
}
_OPTIONS = "argparse.Namespace"  # the options of a run in timm's checkpoints; it holds plain values and runs nothing
_ALLOWED_HERE = frozenset({*_NUMBERS, _OPTIONS})
# What torch.load(weights_only=True) allows by itself, as far as checkpoints from before PyTorch 1.6 ask for it.
_ALLOWED_BY_TORCH = re.compile(
    r"collections\.OrderedDict|torch\._utils\..*|torch\.storage\..*|torch\.nn\.parameter\..*|torch\.\w*Storage"
)


def read_checkpoint(file: Path | str) -> Tensors:
    """The tensors of a checkpoint, on the CPU, without the prefixes of data-parallel training and ``torch.compile``.

    Of a checkpoint that timm's training wrote, the averaged weights are taken where it has them, as timm does.

    Args:
        file: Written by ``torch.save`` (``.pth.tar``, ``.pth``, ``.bin``, …, old and new format), or ``.safetensors``.

    Raises:
        WeightsMissing: No such file.
        NotSafetensors: A pickle that asks for more than tensors and plain data. The message names what it asks for;
            nothing of it is run.
        BrokenWeights: Cut short, empty, or no checkpoint at all.
        WrongShapes: A checkpoint without a ``state_dict`` of tensors.
    """
    file = Path(file)
    if not file.is_file():
        raise WeightsMissing(
            f"expected a checkpoint file, got {file}, which is {'a folder' if file.is_dir() else 'not there'}"
        )
    content: Any
    if file.suffix == ".safetensors":
        tensor_shapes(file)  # raises the errors of a damaged one
        content = load_file(file)
    else:
        content = _unpickle(file)
    for key in _STATE_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        found = f"a dict of {list(content)[:5]}" if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise WrongShapes(f"expected a state_dict of tensors in {file}, got {found}; is it the right file?")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    check_dense(tensors, where=str(file))
    return without_wrappers(tensors)


def read_content(file: Path) -> Any:
    """Everything that a checkpoint written by ``torch.save`` holds, read as data.

    Raises:
        NotSafetensors, BrokenWeights: As :func:`read_checkpoint`.
    """
    return _unpickle(file)


def _unpickle(file: Path) -> Any:
    """What ``torch.load`` reads as data only.

    A damaged file makes torch raise many kinds of errors, so the cause is found in the file itself.
    """
    check_archive(file)
    # safe_globals forgets on exit all that it was given, also what somebody else had allowed before
    new = [kind for kind in (*_numbers(), argparse.Namespace) if kind not in torch.serialization.get_safe_globals()]
    with torch.serialization.safe_globals(new):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickle protocols; where it matters the error below is clearer
                return torch.load(file, map_location="cpu", weights_only=True)
        except PermissionError as error:
            raise WeightsMissing(f"expected a readable file at {file}: {error}; change its permissions") from None
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
        wanted = [name for name in refused_globals(file) if name not in _ALLOWED_HERE]
    if wanted:
        cure = "load it where it was made and save its state_dict alone"
        if _ARRAYS.issuperset(wanted) and not zipfile.is_zipfile(file):  # detectron2's .pkl files
            cure = (
                'turn its arrays into tensors: python -c "import pickle, torch; '
                f"d = pickle.load(open('{file.name}', 'rb'), encoding='latin1'); d = d.get('model', d); "
                "torch.save({k: torch.as_tensor(v) for k, v in d.items()}, 'tensors.pth')\""
            )
        raise NotSafetensors(
            f"expected tensors and plain data in {file}, got a pickle that wants {', '.join(wanted[:5])}; none of it "
            f"was run. If you trust the file, {cure}"
        )
    size = file.stat().st_size
    with file.open("rb") as stream:
        begin = stream.read(16)
    if begin[8:10] in (b'{"', b"{ "):
        raise BrokenWeights(f"expected a checkpoint of PyTorch, got safetensors in {file}; rename it to .safetensors")
    if begin.startswith(b"PK"):
        names = [member.filename for member in _members(file)]
        if not any(name.endswith("data.pkl") for name in names):
            raise BrokenWeights(
                f"expected a checkpoint written by torch.save, got in {file} an archive of {', '.join(names[:3])}; "
                "numpy's arrays are not read: save them as tensors"
            )
    if not begin.startswith((b"PK", b"\x80")):
        raise BrokenWeights(
            f"expected a checkpoint written by torch.save, got {file} ({size} bytes), which begins with {begin!r}; "
            "is it the right file, or a download page?"
        )
    raise _broken(file, reason)


def _broken(file: Path, reason: str) -> BrokenWeights:
    size = file.stat().st_size
    return BrokenWeights(
        f"expected a whole checkpoint, got a broken or truncated one in {file} ({size} bytes: {reason}); get it again"
    )


def _members(file: Path) -> list[zipfile.ZipInfo]:
    """The parts that the directory of a zip file names.

    Raises:
        BrokenWeights: There is no directory that can be read. torch's own reader might find another one in such a file,
            whose sizes nobody has checked.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except OSError:
        raise
    except Exception as error:  # zipfile raises many kinds for a damaged directory, struct.error among them
        raise _broken(file, " ".join(str(error).split())[:160]) from None


def check_archive(file: Path, longest_list: int = _LONGEST_PICKLE) -> None:
    """Check the sizes that the directory of a checkpoint's zip file names, before anything is unpacked.

    ``torch.save`` does not compress, so a file that unpacks to much more than its own size was made to fill memory.
    The list of what it holds is small; a large one makes more objects than there is memory for.

    Args:
        file: The checkpoint, of the format before PyTorch 1.6, too.
        longest_list: Bytes of the list of what a zip file holds.

    Raises:
        BrokenWeights: Such a file, a list alone that is too long, or a zip file whose directory cannot be read.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            zipped = stream.read(2) == b"PK"
        members = _members(file) if zipped else []
    except PermissionError as error:
        raise WeightsMissing(f"expected a readable file at {file}: {error}; change its permissions") from None
    except OSError:
        return  # torch.load finds what is broken, and _unpickle explains it
    if not zipped:  # the format before PyTorch 1.6, where nothing is packed; its storages are in the file
        check_pickle(file, size)
        return
    unpacked = sum(member.file_size for member in members)
    lists = [member.file_size for member in members if member.filename.endswith(".pkl")]
    if unpacked > 2 * size + 2**20 or len(members) > _MOST_MEMBERS or max(lists, default=0) > longest_list:
        raise BrokenWeights(
            f"expected a checkpoint that holds what its {size} bytes can, got {len(members)} parts that unpack to "
            f"{unpacked} bytes in {file}; do not trust its source"
        )


def check_pickle(file: Path, size: int) -> None:
    """Check the first pickles of a file that is no zip file, as far as they make lists of objects.

    Raises:
        BrokenWeights: More operations than any checkpoint has.
    """
    if size <= _LONGEST_PICKLE // 16:  # too few to fill memory, whatever they are
        return
    operations = 0
    with contextlib.suppress(Exception), file.open("rb") as stream:  # numbers follow the pickles
        for _ in range(4):  # magic number, protocol, system, content; then a list of storages
            for _ in pickletools.genops(stream):
                operations += 1
                if operations > _MOST_OPERATIONS:
                    break
    if operations > _MOST_OPERATIONS:
        raise BrokenWeights(
            f"expected a checkpoint of tensors, got a pickle of more than {_MOST_OPERATIONS} objects in {file}; do not "
            "trust its source"
        )


def _numbers() -> list[Any]:
    """numpy's scalars, which hold no code, as torch's list of allowed classes takes them."""
    dtypes = {type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)}
    scalar = np.float64(0).__reduce__()[0]
    return [np.dtype, *dtypes, *((scalar, f"{core}.multiarray.scalar") for core in _CORES)]


def refused_globals(file: Path) -> list[str]:
    """Names of the functions and classes that a checkpoint asks for and that torch does not allow; nothing is run.

    torch itself lists those of its own format. The format before PyTorch 1.6, plain pickles and pickles of protocol 3
    and newer are listed here.
    """
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except Exception:  # another format or protocol, or damaged
        names = [name for name in dict.fromkeys(_named_globals(file)) if not _ALLOWED_BY_TORCH.fullmatch(name)]
    return [] if _ALLOWED_HERE.issuperset(names) else names


def _named_globals(file: Path) -> Iterator[str]:
    """Names of the functions and classes in all pickles of a file, up to where it can be read as a pickle."""
    with contextlib.suppress(Exception):
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for member in archive.namelist():
                    if member.endswith(".pkl"):
                        with archive.open(member) as stream:
                            yield from _globals_of_pickle(stream)
        else:
            with file.open("rb") as stream:
                while True:  # several pickles one after the other, then the numbers
                    yield from _globals_of_pickle(stream)


def _globals_of_pickle(stream: IO[bytes]) -> Iterator[str]:
    strings: list[str] = []  # STACK_GLOBAL takes its module and name from the last two
    memo: dict[Any, str | None] = {}  # None for anything but a string
    top: str | None = None  # of the stack, where it is a string
    for opcode, argument, _ in pickletools.genops(stream):
        kind = opcode.name
        if kind == "MEMOIZE" or kind.endswith("PUT"):
            memo[len(memo) if argument is None else argument] = top
            continue
        name, top = None, None
        if kind in ("GLOBAL", "INST"):
            name = str(argument).replace(" ", ".", 1)
        elif kind == "STACK_GLOBAL":
            name = ".".join(strings[-2:])
        elif isinstance(top := memo.get(argument) if kind.endswith("GET") else argument, str):
            strings.append(top)
        else:
            top = None
        if name and re.fullmatch(r"[\w.]{3,100}", name):  # else a text that happens to begin like a pickle
            yield name
