"""Tensors in files: written, and held against a network by names and shapes alone, without reading a weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pinas_zoo.errors import BrokenWeights, NotSafetensors, WeightsMissing, WrongShapes
from pinas_zoo.weights.atomic import replacing
from pinas_zoo.weights.entry_points import FAMILY, on_meta

_REAL = (".weight", ".bias", ".running_mean", ".running_var")  # tensors that are never integers


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file whole or not at all; tensors that share memory are stored under each of their names.

    Args:
        path: Parents are made.
        tensors: Of any device and layout.
        metadata: Of the file.
    """
    plain = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    with replacing(path) as temporary:
        temporary.touch()  # with the umask's mode, which safetensors would close to others
        mode = temporary.stat().st_mode
        save_file(plain, temporary, metadata=dict(metadata or {"format": "pt"}))
        temporary.chmod(mode)


def network_shapes(args: Mapping[str, Any], architecture: str = FAMILY) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the network, which is built without memory.

    Raises:
        ValueError, TypeError: The arguments describe no network.
    """
    from pinas_zoo.models.pinas import PiNAS

    if architecture != FAMILY:
        return {k: tuple(v.shape) for k, v in on_meta(architecture, args).state_dict().items()}
    placed = {k: v for k, v in args.items() if k not in ("device", "dtype")}
    return {k: tuple(v.shape) for k, v in PiNAS(**placed, device="meta").state_dict().items()}


def check_tensors(
    found: Mapping[str, tuple[int, ...]], args: Mapping[str, Any], where: str, architecture: str = FAMILY
) -> None:
    """Hold names and shapes of a file against the network that the arguments describe.

    Raises:
        WrongShapes: With the first tensors that are missing, too many or of another shape.
    """
    expected = network_shapes(args, architecture)
    problems = shape_problems(found, expected)
    if problems:
        raise WrongShapes(
            f"expected the tensors of arch {args['arch']} in {where}, got " + "; ".join(problems) + "; "
            "the weights belong to another network: give its arch, depths and widths, or the right file"
        )


def check_real(state_dict: Mapping[str, Tensor], where: str) -> None:
    """Refuse integers in the place of weights, which would be cast without their scale.

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
    """What is wrong with names and shapes, in words; empty when all agree."""
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
        WeightsMissing, NotSafetensors, BrokenWeights: With the cure.
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
        raise BrokenWeights(
            f"expected a whole safetensors file at {path} ({path.stat().st_size} bytes), got a broken or truncated one "
            f"({error}); get it again"
        ) from None
    except PermissionError as error:
        raise WeightsMissing(f"expected a readable file at {path}: {error}; change its permissions") from None
