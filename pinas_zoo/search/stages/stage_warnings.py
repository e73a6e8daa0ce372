"""Warnings about a stage that has just ended, by the checks of :mod:`pinas_zoo.search.learned_nothing`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import ImageSet
from pinas_zoo.engine.curve import CURVE, read_curve
from pinas_zoo.errors import UserError
from pinas_zoo.search import learned_nothing
from pinas_zoo.search.chance_loss import chance_loss, queue_size
from pinas_zoo.search.context import Context
from pinas_zoo.search.learned_nothing import SearchWarning, warnings_of
from pinas_zoo.search.ranking.winner_noise import WinnerNoise, accuracy_noise, score_noise
from pinas_zoo.search.run_folder import STAGES, is_done, read_done
from pinas_zoo.search.score_kinds import score_kind
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.stages.untrained_probe import Probed, probe_beside_untrained

AVERAGED = 10  # last logged steps of linear evaluation whose accuracies are averaged
MORE_STEPS = "more learn.steps and linear.steps, or other learning rates"


def stage_facts(context: Context, stage: str, facts: Mapping[str, Any], scores: Mapping[Arch, Score]) -> dict[str, Any]:
    """What ``done.json`` says beside the facts of the stage.

    These are ``warnings``; ``within_noise`` of the explore stage; and of a learn stage without warnings ``probed``, or
    ``not_probed`` with the reason. Such a stage is complete all the same: its weights are written, and a fault that
    repeats, such as an image that cannot be decoded, would have it probe for ever.

    Args:
        context: Context of the run.
        stage: The stage, whose files are complete.
        facts: Its facts.
        scores: The scores of the study; read for the explore stage alone.
    """
    found: list[SearchWarning | None] = []
    noise: WinnerNoise | None = None
    probed: Probed | None = None
    not_probed: str | None = None
    if stage == "learn":
        trouble = facts.get("trouble")
        found = [SearchWarning("learning", trouble)] if trouble else _of_learn(context)
        if not any(found):
            try:
                probed = probe_beside_untrained(context)
            except (UserError, RuntimeError, MemoryError, OSError) as error:
                not_probed = f"learn was not compared with its first weights: {' '.join(str(error).split())[:300]}"
        if probed is not None:
            found = [learned_nothing.no_better_than_untrained(probed.learned, probed.untrained, probed.images)]
    elif stage == "linear":
        found = [_of_linear(context)]
    elif stage == "explore":
        found, noise = _of_scores(context, scores), _noise(context, scores, str(facts.get("winner")))
    elif facts.get("test_accuracy") is not None and (stage == "train" or context.supernet is not None):
        found = [_of_test(context, stage, facts["test_accuracy"])]
    added: dict[str, Any] = {"warnings": [asdict(warning) for warning in found if warning is not None]}
    measured = {"within_noise": noise, "probed": probed}
    if not_probed is not None:
        added["not_probed"] = not_probed
    return added | {name: asdict(value) for name, value in measured.items() if value is not None}


def stored_warnings(folder: Path) -> list[SearchWarning]:
    """The warnings of all complete stages of a run; those of versions before this one have none."""
    return [warning for stage in STAGES if is_done(folder, stage) for warning in warnings_of(read_done(folder / stage))]


def _of_learn(context: Context) -> list[SearchWarning | None]:
    config, folder = context.config, context.folder / "learn"
    curve = read_curve(folder) if (folder / CURVE).is_file() else {}
    if "loss" not in curve:
        return []
    steps, size = curve["step"], queue_size(config)
    chance = chance_loss(config, steps, context.splits.num_classes, context.space.num_candidates)
    if chance is None:
        return []
    settled = [size is None or step * config.learn.batch_size > size for step in steps]
    warm = bool(config.learn.options.get("warm_queue", False))
    # random entries of the queue are told apart without learning, so that rows with some say nothing
    known = [guess if warm or done else 0.0 for guess, done in zip(chance, settled, strict=True)]
    at_chance = learned_nothing.loss_at_chance(curve["loss"], chance)
    return [at_chance or learned_nothing.loss_rises(curve["loss"], known, settled)]


def _of_linear(context: Context) -> SearchWarning | None:
    options, values = context.config.linear, read_curve(context.folder / "linear").get("accuracy", [])[-AVERAGED:]
    if not values:
        return None
    guess = _most_frequent(context.splits.train)
    images = len(values) * options.batch_size
    cure = "more linear.steps, another linear.lr, or more learn.steps"
    what = "the accuracy of linear evaluation on training images"
    return learned_nothing.accuracy_at_chance(sum(values) / len(values), images, guess, what, cure)


def _of_scores(context: Context, scores: Mapping[Arch, Score]) -> list[SearchWarning | None]:
    kind, values = score_kind(context.config), list(scores.values())
    if len(values) < 2:  # a method chose the only candidate
        return []
    is_accuracy, name, shown = kind.name == "accuracy", kind.title, kind.shown(values[0].accuracy)
    equal = learned_nothing.equal_scores(values, name, is_accuracy, shown, kind.in_supernet)
    if not kind.in_supernet:
        by_score = context.config.explore.rank_by == "score"
        return [equal, learned_nothing.shared_best_score(values, name, kind.shown) if by_score else None]
    found = [
        equal,
        learned_nothing.few_distinct_scores(values, name, is_accuracy),
        learned_nothing.unexplained_scores(scores, context.space.num_candidates, context.space.reachable),
    ]
    if is_accuracy:
        held_out = context.scoring_data().held_out
        mean = sum(score.accuracy for score in values) / len(values)
        what = f"the mean held-out accuracy of {len(values)} candidates"
        guess = _most_frequent(held_out)
        found.append(learned_nothing.accuracy_at_chance(mean, len(held_out), guess, what, MORE_STEPS))
    return found


def _noise(context: Context, scores: Mapping[Arch, Score], winner: str) -> WinnerNoise | None:
    kind = score_kind(context.config)
    if not kind.in_supernet or len(scores) < 2:
        return None
    arch = context.space.parse(winner)
    if kind.name == "accuracy":
        return accuracy_noise(scores, arch, len(context.scoring_data().held_out))
    return score_noise(scores, arch, context.space.num_candidates, kind.shown, context.space.reachable)


def _of_test(context: Context, stage: str, accuracy: float) -> SearchWarning | None:
    test = context.splits.test
    cure = "more train.epochs, or another train.lr" if stage == "train" else MORE_STEPS
    what = "the test accuracy of the winner" + (" after training" if stage == "train" else "")
    guess, check = _most_frequent(test), f"{stage} at chance"
    return learned_nothing.accuracy_at_chance(accuracy, len(test), guess, what, cure, check)


def _most_frequent(images: ImageSet) -> float:
    """Share of the most frequent class, which is what guessing gets right."""
    return float(torch.bincount(images.labels).max()) / len(images)
