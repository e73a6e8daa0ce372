"""Tensors in files: writing them, and comparing their names and shapes with a network's without reading a weight."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pinas_zoo.errors import BrokenWeights, NotSafetensors, UserError, WeightsMissing, WrongShapes
from pinas_zoo.weights.atomic import replacing
from pinas_zoo.weights.entry_points import default_name, on_meta
from pinas_zoo.weights.size_limits import MAX_PARAMETERS, shortened

_MAX_TENSORS = 2**16  # of a file; a network of 512 layers has some 10 thousand
_MAX_NUMBERS = MAX_PARAMETERS  # of all tensors of a file
_INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)
_DTYPES = frozenset({torch.float32, torch.float16, torch.bfloat16, torch.float64, *_INTEGERS})
_SAVED_DTYPES = frozenset(  # as safetensors calls them
    {"F16", "BF16", "F32", "F64", "I8", "U8", "I16", "I32", "I64", "U16", "U32", "U64", "BOOL"}
)
_REAL = (".weight", ".bias", ".running_mean", ".running_var")  # tensors that are never integers
# What torch puts into names: torch.compile, FSDP and its checkpointing at any depth; data-parallel training in front.
_WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file whole or not at all; tensors that share memory are stored under each of their names.

    Args:
        path: Missing parent folders are made.
        tensors: On any device, in any memory layout.
        metadata: Text that the file's header keeps.
    """
    plain = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    with replacing(path) as temporary:
        mode = temporary.stat().st_mode  # the umask's, which safetensors would close to others
        try:
            save_file(plain, temporary, metadata=dict(metadata or {"format": "pt"}))
        except SafetensorError as error:  # of the operating system: a full disk, a quota
            raise UserError(f"expected to write {path}, got {error}; free space on the disk, then repeat") from None
        temporary.chmod(mode)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Raises:
        WeightsMissing: There is no file, or it cannot be read.
        BrokenWeights: The file is cut short or damaged.
        WrongShapes: Integers in place of weights.
    """
    tensor_shapes(path)
    return load_file(path)


def without_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names that they have in the bare network.

    ``module.`` (data-parallel training) is dropped in front, ``_orig_mod.`` (``torch.compile``) and FSDP's at any
    depth, in whatever order they stand. So is the counter of torch's ``AveragedModel``, which is no weight.
    """
    out = {}
    for name, tensor in tensors.items():
        if name == "n_averaged":
            continue
        bare = _WRAPPERS.sub("", name)
        while bare.startswith("module."):
            bare = bare.removeprefix("module.")
        out[bare] = tensor
    return out


def load_state(network: nn.Module, path: Path) -> None:
    """Load a safetensors file into a module whose tensors it holds, such as a supernet.

    Raises:
        WeightsMissing: There is no file, or it cannot be read.
        BrokenWeights: The file is cut short or damaged, or holds NaN or infinity.
        WrongShapes: Its tensors are not those of the module.
    """
    problems = shape_problems(tensor_shapes(path), shapes_of(network.state_dict()))
    if problems:
        raise WrongShapes(
            f"expected the tensors of a {type(network).__name__} in {path}, got {'; '.join(problems)}; is it the file "
            "of another run?"
        )
    tensors = load_tensors(path)
    wrong = [k for k, v in tensors.items() if v.is_floating_point() and not bool(v.isfinite().all())]
    if wrong:
        raise BrokenWeights(
            f"expected finite weights in {path}, got NaN or infinity in {wrong[0]}; the likely cause is too high a "
            "learning rate: lower it and learn again in another folder"
        )
    network.load_state_dict(tensors)


def network_shapes(args: Mapping[str, Any], architecture: str | None = None) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a network, which is built on the meta device.

    Args:
        args: Of the entry point.
        architecture: timm's entry point; the default one when None.

    Raises:
        UserError: The arguments describe no network.
    """
    return shapes_of(on_meta(architecture or default_name(), args).state_dict())


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor."""
    return {k: tuple(v.shape) for k, v in tensors.items()}


def check_tensors(found: Mapping[str, tuple[int, ...]], network: nn.Module, where: str) -> None:
    """Compare names and shapes of a file's tensors with those of a network, such as one on the meta device.

    Raises:
        WrongShapes: With the first tensors that are missing, too many or of another shape.
    """
    problems = shape_problems(found, shapes_of(network.state_dict()))
    if problems:
        raise WrongShapes(
            f"expected the tensors of arch {getattr(network, 'arch', '?')} in {where}, got "
            + "; ".join(problems)
            + "; the weights belong to another network: give its arch, depths and widths, or the right file"
        )


def check_network_file(path: Path, network: nn.Module, where: str) -> None:
    """Check that a safetensors file holds the weights of a network, all of them finite.

    Raises:
        WrongShapes: Other tensors, or NaN or infinity in one.
        BrokenWeights: The file is cut short or damaged.
    """
    check_tensors(tensor_shapes(path), network, where)
    check_finite(load_file(path), where)


def check_real(state_dict: Mapping[str, Tensor], where: str) -> None:
    """Check that tensors can be a network's: numbers in memory, floating-point in place of weights, and finite.

    Raises:
        WrongShapes: With the first tensor that is none.
    """
    check_dense(state_dict, where)
    _refuse_integers([k for k, v in state_dict.items() if k.endswith(_REAL) and not v.is_floating_point()], where)
    check_finite(state_dict, where)


def check_dense(tensors: Mapping[str, Tensor], where: str) -> None:
    """Check that each tensor is a dense array of numbers that a file holds.

    A file of a few bytes can describe a tensor of terabytes: one without data (on the meta device), or one that repeats
    a number. Sparse and quantised tensors, and numbers of 8 bits, are not what this package's networks compute with.

    Raises:
        WrongShapes: With the first tensor that is none, or more numbers than a network may have.
    """
    if len(tensors) > _MAX_TENSORS:
        raise WrongShapes(f"expected at most {_MAX_TENSORS} tensors in {where}, got {len(tensors)}")
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided:
            problem = f"a tensor of layout {tensor.layout}"
        elif tensor.is_meta:
            problem = "a tensor without data (of the meta device)"
        elif tensor.is_quantized or tensor.is_complex() or tensor.dtype not in _DTYPES:
            problem = f"numbers of {tensor.dtype}"
        elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            problem = f"a tensor of shape {shortened(tuple(tensor.shape))} that repeats fewer numbers"
        else:
            continue
        raise WrongShapes(
            f"expected dense tensors of float32, float16, bfloat16, float64 or whole numbers in {where}, got {problem} "
            f"in {shortened(name)}; convert it where it was made"
        )
    count = sum(tensor.numel() for tensor in tensors.values())
    if count > _MAX_NUMBERS:
        raise WrongShapes(f"expected at most {_MAX_NUMBERS / 1e6:.0f} M numbers in {where}, got {count / 1e6:.0f} M")


def check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Check that no floating-point tensor has NaN or infinity.

    Raises:
        WrongShapes: With the first tensor that has.
    """
    broken = [n for n, v in tensors.items() if v.is_floating_point() and not v.is_meta and not bool(v.isfinite().all())]
    if broken:
        raise WrongShapes(
            f"expected finite weights in {where}, got NaN or infinity in {len(broken)} tensors (first {broken[0]}); "
            "the training behind it has diverged"
        )


def _refuse_integers(names: Sequence[str], where: str) -> None:
    if names:
        raise WrongShapes(
            f"expected floating-point weights in {where}, got {len(names)} tensors of integers (first {names[0]}); "
            "give weights that are not quantised"
        )


def shape_problems(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The differences between two sets of names and shapes, one line each; empty when they agree."""
    missing = [k for k in expected if k not in found]
    extra = [k for k in found if k not in expected]
    other = [k for k in expected if k in found and tuple(found[k]) != tuple(expected[k])]
    out = []
    if missing:
        out.append(f"{len(missing)} missing (first {', '.join(missing[:3])})")
    if extra:
        out.append(f"{len(extra)} unknown (first {', '.join(extra[:3])})")
    if other:
        k = other[0]
        out.append(f"{len(other)} of another shape (first {k}: {tuple(found[k])}, not {tuple(expected[k])})")
    return out


def tensor_shapes(path: Path | str) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in a safetensors file; reads its header, which also says how long the file is.

    Raises:
        WeightsMissing: There is no file, or it cannot be read.
        NotSafetensors: Another format.
        BrokenWeights: The file is cut short or damaged.
        WrongShapes: Integers in place of weights.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise NotSafetensors(
            f"expected a .safetensors file, got {path}; other formats can carry code and are not opened: "
            "turn a checkpoint into a model folder with `pinas-zoo convert`"
        )
    if not path.is_file():
        raise WeightsMissing(f"expected weights at {path}, found no file there; check the path, or where it moved to")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            if len(names) > _MAX_TENSORS:
                raise WrongShapes(f"expected at most {_MAX_TENSORS} tensors in {path}, got {len(names)}")
            slices = {k: file.get_slice(k) for k in names}
            kinds = {k: v.get_dtype() for k, v in slices.items()}
            strange = [k for k, v in kinds.items() if v not in _SAVED_DTYPES]
            if strange:
                raise WrongShapes(
                    f"expected float32, float16, bfloat16, float64 or whole numbers in {path}, got "
                    f"{kinds[strange[0]]} in {shortened(strange[0])}; convert it where it was made"
                )
            _refuse_integers([k for k, v in kinds.items() if k.endswith(_REAL) and "F" not in v], str(path))
            shapes = {k: tuple(v.get_shape()) for k, v in slices.items()}
    except (SafetensorError, EOFError, UnicodeDecodeError) as error:
        with path.open("rb") as stream:
            if stream.read(2) in (b"PK", b"\x80\x02"):
                raise BrokenWeights(
                    f"expected a safetensors file at {path}, got a checkpoint of PyTorch by its first bytes; rename it "
                    "to .pth"
                ) from None
        raise BrokenWeights(
            f"expected a whole safetensors file at {path} ({path.stat().st_size} bytes), got a broken or truncated one "
            f"({error}); get it again"
        ) from None
    except PermissionError as error:
        raise WeightsMissing(f"expected a readable file at {path}: {error}; change its permissions") from None
    count = sum(math.prod(shape) for shape in shapes.values())
    if count > _MAX_NUMBERS:
        raise WrongShapes(f"expected at most {_MAX_NUMBERS / 1e6:.0f} M numbers in {path}, got {count / 1e6:.0f} M")
    return shapes
