"""``pinas-zoo train``: from images to a trained network that loads by name."""

from __future__ import annotations

import argparse

from pinas_zoo.terminal import note, print_json, say, warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from torch import Tensor

    from pinas_zoo.train.config import Recipe
    from pinas_zoo.train.network import Start
    from pinas_zoo.zoo.resolve import ResolvedNetwork

EPILOG = """\
examples:
    pinas-zoo train work_dirs/mine/winner --data flowers
    pinas-zoo train 3013231203213032 --data imagenet --config imagenet_fast
    pinas-zoo train resnet50.a1_in1k --data flowers --config finetune --name flowers
    torchrun --nproc-per-node 8 -m pinas_zoo.cli train pinas_cls --data imagenet --config imagenet_a2

FOLDER of --data has the folders train and validation (or val), each with one folder of images a class. Without a
folder to test on, a fifth of the images of each class is held out. If a run stops, rerun the same command to
resume. The network is written to WORK_DIR/trained and registered under its name.
"""
FROM_WEIGHTS, FROM_NOTHING = "finetune", "imagenet_fast"  # recipes where --config is not given
SUPERNET = "learn/supernet.safetensors"  # in the folder of a search
HOLDOUT = 0.2  # of a folder without a test split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "network",
        nargs="?",
        metavar="NAME|ARCH|FOLDER",
        help="a timm name, an architecture of digits, a model folder or hf-hub:user/name (default: the recipe's)",
    )
    parser.add_argument("--data", metavar="FOLDER", help="folder of images (default: the recipe's data.root)")
    parser.add_argument(
        "--config",
        metavar="CONFIG",
        help=f"recipe: a file, or a name of configs/cls (default: {FROM_WEIGHTS} for a folder or repo, which has "
        f"weights, else {FROM_NOTHING})",
    )
    parser.add_argument(
        "--weights",
        metavar="NAME|FOLDER|FILE",
        help="start from the weights of another network of the same layers: a name, a folder, a .safetensors file or a "
        "checkpoint; or from the supernet in a search's folder, of whose space ARCH is",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the run and of the registered network")
    parser.add_argument("--work-dir", metavar="FOLDER", help="the run's folder (default: work_dirs/NAME)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one value of the recipe, such as --set schedule.epochs=20; may be repeated",
    )
    parser.add_argument("--no-register", action="store_true", help="do not register the network under its name")
    parser.add_argument(
        "--register-anyway",
        action="store_true",
        help="register the network even where its accuracy is that of guessing",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the resolved recipe, and do nothing")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        help="what started the processes of this run (default: read from the environment of torchrun or srun)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from pinas_zoo.errors import UserError
    from pinas_zoo.extras import require_search
    from pinas_zoo.zoo.resolve import resolve

    require_search()
    from pinas_zoo.config_files import find_config
    from pinas_zoo.engine.config_values import parse_overrides

    overrides = parse_overrides(args.set)
    for key, value in (("model", args.network), ("data.root", args.data), ("name", args.name)):
        if value is not None:
            overrides[key] = value
    if args.weights is not None:
        overrides["weights"] = args.weights
    network = None if args.network is None else _network(resolve(args.network))
    default = FROM_WEIGHTS if network is not None and network.kind in ("folder", "hub") else FROM_NOTHING
    recipe = read_recipe(find_config(args.config or default, "cls"), overrides)
    if network is None:
        if not recipe.model:
            raise UserError("expected a network to train, got none; give its name, architecture or folder")
        network = _network(resolve(recipe.model))
    from pinas_zoo.train.given_folder import with_given_folder

    recipe, said = with_given_folder(recipe, overrides)
    recipe = with_data(recipe)
    if args.dry_run:
        if said:
            note(said)
        print(recipe.model_dump_json(indent=2))
        return
    from pinas_zoo.engine import distributed
    from pinas_zoo.train.run import NETWORK, train
    from pinas_zoo.zoo import registry

    distributed.start(args.launcher)
    if said and distributed.rank() == 0:
        note(said)
    has_arch = _has_arch(network)
    if has_arch and not args.no_register and distributed.rank() == 0:
        registry.check_name(recipe.name)
        registry.check_writable()
    folder = Path(args.work_dir) if args.work_dir else Path("work_dirs") / recipe.name
    results = train(recipe, start_of(network, recipe), folder, say)
    if results is None:
        return
    place = folder / NETWORK
    load = f"local-dir:{place}"
    if has_arch:
        write_card(place, recipe.name)
        if results.get("warnings") and not args.register_anyway and not args.no_register:
            before = registry.find(recipe.name)
            kept = "" if before is None else f"; the name stays that of {before.folder or before.arch}"
            warning(
                f"{recipe.name} is not registered, because the network learned nothing{kept}; repeat with "
                "--register-anyway to register it"
            )
        elif not args.no_register:
            registry.register(recipe.name, folder=place)
            load = recipe.name
    elif not args.no_register:
        warning(f"{network.given} is no network of this package, so that its folder is not registered under a name")
    if args.json:
        print_json({"folder": str(place), "load": load, **results})
        return
    say(f'\nimport timm, pinas_zoo\nmodel = timm.create_model("{load}", pretrained=True)')


def read_recipe(path: Path, overrides: Mapping[str, Any]) -> Recipe:
    """Read a recipe, change values by dotted key, and validate it.

    Raises:
        UserError: The file cannot be read, a key is unknown, or a value has the wrong type or range.
    """
    from mmengine.config import Config

    from pinas_zoo.engine.config_values import parse_table, read_config
    from pinas_zoo.errors import UserError
    from pinas_zoo.train.config import Recipe

    config = Config(read_config(path))
    try:
        config.merge_from_dict(dict(overrides))
        values = config.to_dict()
    except Exception as error:  # mmengine raises several types
        raise UserError(f"recipe {path} cannot be changed by {dict(overrides)}: {error}") from None
    return parse_table(Recipe, values, str(path))


def with_data(recipe: Recipe) -> Recipe:
    """The recipe with what its folder asks for: the folder of the classes, or test images held out.

    A folder without a split to test on is one whose owner has not split it.
    """
    from pinas_zoo.train.images import has_split, located

    data, split = located(recipe.data, recipe.data.train_split)
    changes: dict[str, Any] = {}
    if data is not recipe.data:
        changes["data"] = data.model_copy(update={"train_split": split})
    is_folder = data.type == "timm" and not data.name
    if is_folder and recipe.holdout is None and not has_split(data, data.test_split):
        changes["holdout"] = HOLDOUT
    return recipe.model_copy(update=changes) if changes else recipe


def start_of(network: ResolvedNetwork, recipe: Recipe) -> Start:
    """What to build, and the weights to start from.

    Raises:
        UserError: No such weights.
    """
    from pathlib import Path

    from pinas_zoo.errors import UserError
    from pinas_zoo.train.network import Start

    has_weights = network.kind in ("folder", "hub")
    own = not recipe.weights and (recipe.start == "weights" or (recipe.start is None and has_weights))
    if own and network.kind == "arch":
        raise UserError(
            f"expected a network with weights for start='weights', got the architecture {network.given}; name weights "
            "with --weights, or take another recipe"
        )
    if recipe.weights and (Path(recipe.weights) / SUPERNET).is_file():
        return _start_of_supernet(Path(recipe.weights), network)
    architecture, args = _building(network)
    state = weights_of(recipe.weights) if recipe.weights else None
    return Start(network.given, network.timm_name, architecture, args, own, state)


def _start_of_supernet(folder: Path, network: ResolvedNetwork) -> Start:
    """An architecture of a search's space, with the weights of its path in the run's supernet.

    Raises:
        UserError: The network is no architecture of the space.
    """
    from pinas_zoo.errors import UserError
    from pinas_zoo.search.pipeline import open_context
    from pinas_zoo.train.network import Start

    context = open_context(folder, "learn")
    text = str(network.args.get("arch", ""))
    try:
        arch = context.space.parse(text)
    except ValueError as error:
        raise UserError(f"expected an architecture of the space of {folder}, got {network.given}: {error}") from None
    assert context.supernet is not None  # the caller has found its file
    state: dict[str, Tensor] = context.space.export(context.supernet, arch)
    args = context.space.model_args(arch)
    return Start(f"{text} of {folder}", context.space.architecture, context.space.architecture, args, False, state)


def weights_of(word: str) -> dict[str, Tensor]:
    """The tensors of a network that is named, of a model folder, a .safetensors file or a checkpoint.

    Raises:
        UserError: Nothing of that name, or it has no weights that can be read as data.
    """
    from pathlib import Path

    from pinas_zoo.commands.classify import load_model
    from pinas_zoo.weights.checkpoint_reader import read_checkpoint

    if Path(word).is_file():
        return read_checkpoint(word)
    state: dict[str, Tensor] = load_model(word, "cpu").state_dict()
    return state


def write_card(folder: Path, name: str) -> None:
    """Write README.md, the model card, which names the network as it loads here."""
    from pinas_zoo.weights.atomic import write_text
    from pinas_zoo.weights.new_folder import CARD_FILE
    from pinas_zoo.zoo.publish import plan_push

    card = plan_push(folder, f"local/{name}").card
    write_text(folder / CARD_FILE, card.replace(f"hf-hub:local/{name}", name))


def _network(network: ResolvedNetwork) -> ResolvedNetwork:
    """The network, or the error for a run, which may hold several."""
    from pinas_zoo.errors import UserError

    if network.kind == "run":
        raise UserError(network.run_problem())
    return network


def _has_arch(network: ResolvedNetwork) -> bool:
    return "arch" in _building(network)[1]


def _building(network: ResolvedNetwork) -> tuple[str, Mapping[str, Any]]:
    """timm's entry point and its arguments; also of a folder or repo of another package's network."""
    from pinas_zoo.bounded_reading import read_json
    from pinas_zoo.weights.model_folder import CONFIG_LIMIT

    if network.config_file is not None:
        config = read_json(network.config_file, "the config of a network", CONFIG_LIMIT)
        if isinstance(config, dict) and "arch" not in (config.get("model_args") or {}):
            from pinas_zoo.weights import entry_points

            name = str(config.get("architecture"))
            if not entry_points.generic_form(name)[1] and entry_points.check_known(name) == name:
                return name, dict(config.get("model_args") or {})
    if network.kind == "name" and not network.args:
        return network.architecture.partition(".")[0], {}
    return network.architecture, network.args
