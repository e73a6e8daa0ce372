"""The trainings that tell whether a search was worth it: winner, reference and random networks, all trained alike.

They leave small files in ``train/compare/ARCH-SEED`` and one table, ``train/comparison.csv``. A training that is
complete is skipped, one that was stopped resumes, and no weights are kept. How the table is read stands in
:mod:`pinas_zoo.search.ranking.worth`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch

from pinas_zoo.analysis.cost import shown_flops
from pinas_zoo.arch import Arch
from pinas_zoo.engine import distributed
from pinas_zoo.engine.compiler import check_compiler
from pinas_zoo.engine.config_values import parse_table
from pinas_zoo.engine.trainer import check_precision
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.config import Compare, SearchConfig, Train, comparison_epochs
from pinas_zoo.search.context import Context
from pinas_zoo.search.ranking.trained_rows import (
    COMPARISON,
    RANDOM,
    REFERENCE,
    WINNER,
    Role,
    TrainedRow,
    read_training,
    write_table,
    write_training,
)
from pinas_zoo.search.ranking.worth import by_architecture, sentence, verdicts
from pinas_zoo.search.run_folder import DONE
from pinas_zoo.search.score_kinds import score_kind
from pinas_zoo.search.scorers.protocol import SUPERNET
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.stages.stand_alone_training import by_recipe, by_table, train_alone
from pinas_zoo.search.stages.winner import cut_out, network_args
from pinas_zoo.train.config import Recipe
from pinas_zoo.train.fit import remove_attempts

DRAWS, ROUNDS = 1000, 20  # random architectures drawn at once, and how often, to find some of like cost


@dataclass(frozen=True)
class Compared:
    """The outcome of a comparison.

    Attributes:
        summary: What was trained, and one sentence on whether the winner is better.
        facts: Plain data for ``done.json``.
        seconds: Duration of all trainings.
    """

    summary: str
    facts: dict[str, Any]
    seconds: float


def is_wanted(options: Compare) -> bool:
    """Whether anything is trained beside the winner."""
    return options.seeds > 0 and bool(options.reference or options.random)


def check_comparison(config: SearchConfig, space: SearchSpace) -> None:
    """Check what can be checked of ``train.compare`` before a search.

    Raises:
        UserError: An unknown reference; weights of a supernet for a search without one; a recipe that cannot be used.
    """
    options = config.train.compare
    reference_of(space, options.reference)
    comparison_recipe(config)
    if is_wanted(options) and options.start == "supernet" and SUPERNET not in score_kind(config).needs:
        raise UserError(
            f"expected train.compare.start='scratch' with explore.score={config.explore.score!r}, which learns no "
            "supernet, got 'supernet'"
        )


def compare(context: Context, winner: Arch) -> Compared | None:
    """Train the networks of ``train.compare`` with each seed, and compare them. All processes must call it.

    Returns:
        None if nothing is compared, and in processes other than the first.
    """
    options = context.config.train.compare
    if not is_wanted(options):
        return None
    rows: list[TrainedRow] = []
    networks = compared_networks(context, winner)
    for (role, arch), label in zip(networks, labels([role for role, _ in networks]), strict=True):
        trained = [train_once(context, role, arch, number, label) for number in range(options.seeds)]
        rows += [row for row in trained if row is not None]
        if rows:
            (network,) = by_architecture(rows)[-1:]
            spread = f" ± {100 * network.deviation:.2f} over {options.seeds} seeds" if options.seeds > 1 else ""
            cost = shown_flops(network.flops_g)
            context.say(f"compare  {role:9} {arch}, {cost}: test accuracy {network.mean:.2%}{spread}")
    if distributed.rank() > 0:
        return None
    write_table(context.folder / COMPARISON, rows)
    found = verdicts(rows)
    text = sentence(found) or "There was nothing to compare the winner with."
    epochs, recipe = comparison_epochs(context.config.train), options.recipe
    start = "from scratch" if options.start == "scratch" else "from the supernet's weights"
    by = "" if recipe is None else f" by the recipe {recipe.name}"
    summary = f"{text} Compared: {start}, {epochs} epochs{by}, {options.seeds} seeds each, on the test images"
    facts = {
        "sentence": text,
        "start": options.start,
        "epochs": epochs,
        "recipe": None if recipe is None else recipe.name,
        "seeds": options.seeds,
        "verdicts": [verdict.facts for verdict in found],
    }
    return Compared(summary, facts, sum(row.seconds for row in rows))


def labels(roles: Sequence[Role]) -> list[str]:
    """What progress calls networks of these roles: by number where there are several, such as ``random 7/16``."""
    count, seen = Counter(roles), Counter[Role]()
    found: list[str] = []
    for role in roles:
        seen[role] += 1
        found.append(f"{role} {seen[role]}/{count[role]}" if count[role] > 1 else role)
    return found


def compared_networks(context: Context, winner: Arch) -> list[tuple[Role, Arch]]:
    """Role and architecture of the networks to train: the winner, the reference unless it won, random ones."""
    options, space = context.config.train.compare, context.space
    networks: list[tuple[Role, Arch]] = [(WINNER, winner)]
    reference = reference_of(space, options.reference)
    if reference == winner:
        context.say(f"compare  the winner is the reference {reference}")
    elif reference is not None:
        networks.append((REFERENCE, reference))
    known = {arch for _, arch in networks}
    drawn = like_cost(space, winner, known, options, context.config.data.image_size, context.config.seed)
    if len(drawn) < options.random:
        context.say(
            f"compare  {len(drawn)} other architectures were found within {options.within:.0%} of the winner's "
            f"multiply-adds, not {options.random}; raise train.compare.within"
        )
    return [*networks, *((RANDOM, arch) for arch in drawn)]


def reference_of(space: SearchSpace, word: str) -> Arch | None:
    """The architecture that ``train.compare.reference`` names; None for none.

    Raises:
        UserError: It is no reference of the space, and no architecture.
    """
    known = space.references()
    if word in ("", "auto"):
        return next(iter(known.values()), None) if word else None
    if word in known:
        return known[word]
    try:
        return space.parse(word)
    except UserError as error:
        names = ", ".join(map(repr, known)) or "none"
        raise UserError(
            f"expected train.compare.reference to be a reference of the space ({names}) or one of its architectures, "
            f"got {word!r}: {error}"
        ) from None


def like_cost(
    space: SearchSpace, winner: Arch, known: set[Arch], options: Compare, image_size: int, seed: int
) -> list[Arch]:
    """Different random architectures whose multiply-adds are like the winner's.

    Architectures whose output does not depend on the image are left out: any winner is better than those. So are
    those that differ from a known or drawn one only in choices without effect: they are the same network again.

    Args:
        space: The search space, of which architectures that may be scored are drawn uniformly.
        winner: The winner.
        known: Architectures that are not drawn.
        options: ``random`` and ``within`` of ``train.compare``.
        image_size: Height and width of the images.
        seed: Seed of the run.

    Returns:
        At most ``options.random`` of them; fewer where the space has few of that cost.
    """
    flops_g = space.cost(winner, image_size)[1]
    seen = {space.reachable(arch) for arch in known}
    found: list[Arch] = []
    for arch in _draws(space, seed) if options.random else ():
        like = abs(space.cost(arch, image_size)[1] - flops_g) <= options.within * flops_g
        if like and space.reachable(arch) not in seen and space.sees_image(arch):
            seen.add(space.reachable(arch))
            found.append(arch)
            if len(found) == options.random:
                break
    return found


def _draws(space: SearchSpace, seed: int) -> Iterator[Arch]:
    for number in range(ROUNDS):
        rng = step_rng(seed, number, Stream.COMPARED)
        columns = [[some[k] for k in rng.integers(len(some), size=DRAWS)] for some in space.choices]
        yield from (Arch(choices) for choices in zip(*columns, strict=True))


def variant(options: Train) -> Train:
    """The ``train`` table with the comparison's epochs and learning rate."""
    changes = {key: value for key in ("epochs", "lr") if (value := getattr(options.compare, key)) is not None}
    return options.model_copy(update=changes)


def comparison_recipe(config: SearchConfig, seed: int = 0) -> Recipe | None:
    """The recipe of ``train.compare``, with its epochs and learning rate; None: networks train by the ``train`` table.

    The test images choose nothing: the last weights are tested, once.

    Raises:
        UserError: Epochs that do not fit the recipe, ``sync_bn``, or a precision that this machine does not have.
    """
    options = config.train.compare
    if options.recipe is None:
        return None
    values: dict[str, Any] = options.recipe.model_dump(mode="json")
    values |= {
        "seed": seed,
        "keep": "last",
        "patience": None,
        "start": None,
        "weights": "",
        "log": config.log.model_dump(),
    }
    values |= {"checkpoint_every": config.train.checkpoint_every, "holdout": None}
    values["data"] = {"workers": config.data.workers}
    if options.epochs is not None:
        values["schedule"]["epochs"] = options.epochs
    if options.lr is not None:
        values["optim"] |= {"lr": options.lr, "lr_batch": None}
    values["eval_every"] = values["schedule"]["epochs"]
    recipe = parse_table(Recipe, values, "train.compare.recipe")
    if recipe.sync_bn:
        raise UserError("expected sync_bn=False in train.compare.recipe, which compares on one GPU, got True")
    check_precision(recipe.precision, "train.compare.recipe.precision")
    if recipe.compile:
        check_compiler("train.compare.recipe.compile")
    return recipe


def train_once(context: Context, role: Role, arch: Arch, number: int, label: str) -> TrainedRow | None:
    """One training of the comparison, or its result if it is complete; None in processes other than the first.

    Args:
        context: Context of the run.
        role: Role of the network.
        arch: The network.
        number: Number of the seed, from 0.
        label: What progress calls the network.
    """
    seed = (context.config.seed + number) % 2**32
    folder = context.folder / "train" / "compare" / f"{arch}-{seed}"
    done = folder / DONE
    complete = done.is_file()
    distributed.wait()  # all have looked before the first one writes
    if complete:
        if distributed.rank() == 0:
            remove_attempts(folder)
        return read_training(done, role, str(arch))
    model = first_network(context, arch, seed)
    options, recipe = context.config.train, comparison_recipe(context.config, seed)
    how = by_table(context, variant(options), seed) if recipe is None else by_recipe(context, recipe)
    key = "train.lr" if options.compare.lr is None and recipe is None else "train.compare.lr"
    trained = train_alone(context, model, how, folder, f"{label}, seed {seed}", key)
    if trained is None:
        distributed.wait()
        return None
    params_m, flops_g = context.space.cost(arch, context.config.data.image_size)
    accuracy, images = trained.facts["top1"], trained.facts["images"]
    row = TrainedRow(
        role=role, arch=str(arch), params_m=params_m, flops_g=flops_g, seed=seed, test_accuracy=accuracy,
        test_images=images, seconds=round(trained.seconds, 2),
    )  # fmt: skip
    write_training(done, row)
    remove_attempts(folder)
    distributed.wait()
    return row


def first_network(context: Context, arch: Arch, seed: int) -> Any:
    """The network before its training: with new weights that follow from the seed, or with its path of the supernet."""
    torch.manual_seed(seed)
    model: Any = timm.create_model(context.space.architecture, **network_args(context, arch))
    if context.config.train.compare.start == "supernet":
        model.load_state_dict(cut_out(context, arch))
        torch.manual_seed(seed)
        model.reset_classifier(context.splits.num_classes)  # as in the training of the winner
    return model
