"""timm's entry points, and what the models of this package declare about theirs beyond what timm knows.

``architecture`` in a model folder's config.json names the entry point that builds the network. A module of models
declares its generic entry point once, with :func:`declare`. An entry point that no module declared, such as one of the
user's own, works too: then what timm knows of it is all there is. The user has to import the module that registers it;
nothing here imports code by a name that a file gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.weights.size_limits import check_plain_arguments, shortened

Args = Mapping[str, Any]
# what constructors of networks raise for arguments that describe none
WRONG_ARGUMENTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
POOLS = ("", "avg", "max", "avgmax", "catavgmax", "fast", "fastavg", "fastmax", "fastavgmax", "fastcatavgmax")
_PLACEMENT = ("device", "dtype")  # arguments that say where a network lies, not what it is


class UnknownArchitecture(UserError):
    """timm has no entry point of that name in this process."""


@dataclass(frozen=True)
class FunctionArg:
    """An argument that changes what a network computes but none of its tensors, so that weights do not tell it.

    Attributes:
        default: Value where the argument is not given.
        callers_choice: Whether a caller who names it may run weights that were trained with another value.
        read: Makes equal what means the same, such as the name and the class of a layer.
    """

    default: Any
    callers_choice: bool = False
    read: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class EntryPoint:
    """A generic entry point: timm's function that builds any network of one kind from its arguments.

    Attributes:
        name: As timm has it.
        build: ``build(variant, pretrained, **kwargs)``; ``variant`` is the registered name that the network is built
            under, by which its default cfg and its weights are found.
        default_cfg: timm's pretrained_cfg fields of a network that says nothing else.
        named: Other entry points of the same kind, with the arguments that each of them fixes.
        aliases: Names of the same network: alias to name.
        prefix: Names that begin so are of this kind even when nothing registered them in this process.
        function_args: Arguments that change what is computed but no tensor.
        parse_arch: Reads the argument ``arch`` in any form that ``build`` takes.
        check_args: Checks arguments, and by arithmetic the network's size, without building anything; raises
            ValueError or TypeError.
    """

    name: str
    build: Callable[..., nn.Module]
    default_cfg: Mapping[str, Any]
    named: Mapping[str, Args] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    prefix: str | None = None
    function_args: Mapping[str, FunctionArg] = field(default_factory=dict)
    parse_arch: Callable[[Any], Arch] = Arch.parse
    check_args: Callable[[Args], None] = check_plain_arguments

    def function_differences(self, trained: Args, called: Args) -> dict[str, tuple[Any, Any]]:
        """Function arguments in which a call differs from the training, as ``{name: (called, trained)}``."""
        out = {}
        for key, arg in self.function_args.items():
            ours, theirs = (args.get(key, arg.default) for args in (called, trained))
            try:
                differ = arg.read(ours) != arg.read(theirs)
            except (KeyError, AssertionError, TypeError):
                differ = True  # not a layer that timm knows
            if differ:
                out[key] = (ours, theirs)
        return out


_declared: dict[str, EntryPoint] = {}
_default: list[str] = []  # the declared entry point that is meant where none is named


def declare(entry_point: EntryPoint, default: bool = False) -> None:
    """Make known what a module of models says of its generic entry point.

    Args:
        entry_point: Replaces an earlier one of the same name.
        default: It is meant where a pretrained_cfg names no architecture.
    """
    _declared[entry_point.name] = entry_point
    if default:
        _default[:] = [entry_point.name]


def is_generic(name: str) -> bool:
    """Whether a name is that of a declared generic entry point, which stands for no network in particular."""
    return name in _declared


def get(name: str) -> EntryPoint:
    """What is declared of an entry point, or what timm knows of one that nothing declared.

    Raises:
        UnknownArchitecture: timm does not know it in this process.
    """
    if name in _declared:
        return _declared[name]
    cfg: Any = timm.models.get_pretrained_cfg(check_known(name))

    def build(variant: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
        """Such an entry point has its own variant, so the cfg of ours is handed to it."""
        if kwargs.get("pretrained_cfg") is None:
            own: Any = timm.models.get_pretrained_cfg(variant)
            kwargs["pretrained_cfg"] = own.to_dict()
            kwargs = {"num_classes": own.num_classes, "in_chans": own.input_size[0], **kwargs}
        return timm.models.model_entrypoint(name)(pretrained=pretrained, **kwargs)

    return EntryPoint(name, build, (cfg or PretrainedCfg()).to_dict())


def default_name() -> str:
    """The entry point that is meant where a folder's or an entry's pretrained_cfg names none."""
    assert _default, "no module of models is imported"
    return _default[0]


def name_in(pretrained_cfg: Mapping[str, Any]) -> str:
    """The entry point that a folder's or an entry's pretrained_cfg names; the default one where it names none."""
    return str(pretrained_cfg.get("architecture") or default_name())


def generic_form(name: str) -> tuple[str, Args]:
    """The generic entry point that builds a named network, and the arguments that the name fixes.

    A name that no declaration contains is its own generic entry point.
    """
    for entry_point in _declared.values():
        if name in entry_point.named:
            return entry_point.name, entry_point.named[name]
        if entry_point.prefix is not None and name.startswith(entry_point.prefix):
            return entry_point.name, {}
    return name, {}


def same_network(name: str) -> tuple[str, ...]:
    """A name, and the other names that are declared for the same network."""
    aliases = {a: root for entry_point in _declared.values() for a, root in entry_point.aliases.items()}
    root = aliases.get(name, name)
    return (name, *(n for n in (root, *aliases) if n != name and aliases.get(n, n) == root))


def check_known(name: str) -> str:
    """Return a name that timm can build.

    Raises:
        UnknownArchitecture: It cannot, in this process.
    """
    if not timm.is_model(name):
        raise UnknownArchitecture(
            f"expected an architecture that timm knows here, got {name!r}; import the module that registers it "
            "(timm.models.register_model) first"
        )
    return name


def check_parameters(args: Args, model_cls: type[nn.Module]) -> None:
    """Check that a class takes the arguments, by their names.

    Raises:
        ValueError: With those that it does not take.
    """
    known = inspect.signature(model_cls).parameters
    unknown = sorted(set(args) - set(known))
    if unknown:
        raise ValueError(f"expected arguments among {', '.join(known)}, got {unknown}")


def check_flags(args: Args, names: Sequence[str]) -> None:
    """Check arguments that are true or false; 1 and 0 are, too.

    Raises:
        ValueError: With the first of another type.
    """
    for name in names:
        if args.get(name, False) not in (True, False):
            raise ValueError(f"expected {name} as true or false, got {shortened(args[name])}")


def check_shares(args: Args, names: Sequence[str]) -> None:
    """Check arguments that are probabilities; None stands for one that is not given.

    Raises:
        ValueError: With the first that is no number from 0 to 1.
    """
    for name in names:
        value = args.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1):
            raise ValueError(f"expected {name} from 0 to 1, got {shortened(value)}")


def check_pool(args: Args) -> None:
    """Check the argument ``global_pool``.

    Raises:
        ValueError: No name of timm's pooling before a classifier; empty and None stand for no pooling.
    """
    pool = args.get("global_pool") or ""
    if pool not in POOLS:
        raise ValueError(f"expected global_pool to be one of {', '.join(filter(None, POOLS))}, got {shortened(pool)}")


def on_meta(name: str, args: Args) -> Any:
    """The network on the meta device, without memory.

    Raises:
        UnknownArchitecture: As :func:`check_known`.
        UserError: Arguments that describe no network of this entry point.
    """
    build = timm.models.model_entrypoint(check_known(name))
    placed = {k: v for k, v in args.items() if k not in _PLACEMENT}
    try:
        get(name).check_args(placed)  # before anything is built
        with torch.device("meta"):
            model: nn.Module = build(pretrained=False, **placed)
    except UnknownArchitecture:
        raise
    except (MemoryError, RecursionError, *WRONG_ARGUMENTS) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"expected arguments of a {name} network, got {shortened(placed, 200)}: {reason}") from None
    return model
