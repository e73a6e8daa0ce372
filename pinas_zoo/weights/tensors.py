"""Tensors in files: writing them, and comparing their names and shapes with a network's without reading a weight."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pinas_zoo.errors import BrokenWeights, NotSafetensors, UserError, WeightsMissing, WrongShapes
from pinas_zoo.weights.atomic import replacing
from pinas_zoo.weights.entry_points import default_name, on_meta

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
        temporary.touch()  # with the umask's mode, which safetensors would close to others
        mode = temporary.stat().st_mode
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


def check_real(state_dict: Mapping[str, Tensor], where: str) -> None:
    """Refuse integers in place of weights: they would be cast without their scale.

    Raises:
        WrongShapes: With the first such tensor.
    """
    _refuse_integers([k for k, v in state_dict.items() if k.endswith(_REAL) and not v.is_floating_point()], where)


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
            slices = {k: file.get_slice(k) for k in file.keys()}  # noqa: SIM118  no mapping
            kinds = {k: v.get_dtype() for k, v in slices.items()}
            _refuse_integers([k for k, v in kinds.items() if k.endswith(_REAL) and "F" not in v], str(path))
            return {k: tuple(v.get_shape()) for k, v in slices.items()}
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
