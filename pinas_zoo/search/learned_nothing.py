"""Signs that a search learned nothing, in the curves, scores and accuracies of its stages.

Each check is a function of plain numbers. It returns a warning with the likely cure, or None. A check stays silent
where its numbers cannot decide: one logged step does not rise, and few scores do not tell noise from structure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinas_zoo.arch import Arch
from pinas_zoo.engine.diagnostics import CHANCE
from pinas_zoo.engine.guessing import at_chance
from pinas_zoo.search.ranking.main_effects import Reachable, enough_scores, itself, main_effects
from pinas_zoo.search.scorers.protocol import Score

GAIN_ERRORS = 3.0  # standard errors by which a learned supernet has to exceed its first weights
RISE_ERRORS = 3.0  # standard errors by which the end of a loss has to lie above its beginning
QUARTER = 4  # logged steps in a quarter of a curve from which its scatter is estimated
NEAR_CHANCE = 0.9  # share of the loss of guessing above which a rise between a few logged steps counts
DISTINCT = 1 / 3  # least share of distinct scores; all 15,625 networks of NAS-Bench-201 are 6,466 different ones
COARSE, MANY = 0.1, 20  # share of distinct accuracies, and number of candidates, from which a ranking is one of losses


@dataclass(frozen=True)
class SearchWarning:
    """A reason to doubt what a search found.

    Attributes:
        check: Short name of the check that found it, such as "equal scores".
        text: One line with numbers and the likely cure.
        blocks: Whether the winner is left unregistered unless the user asks for it.
    """

    check: str
    text: str
    blocks: bool = True


def warnings_of(facts: Mapping[str, Any]) -> list[SearchWarning]:
    """The warnings in the facts of a stage, ``done.json``; versions before this one wrote none."""
    rows = facts.get("warnings") or ()
    return [SearchWarning(str(row["check"]), str(row["text"]), bool(row["blocks"])) for row in rows]


def loss_at_chance(loss: Sequence[float], chance: Sequence[float]) -> SearchWarning | None:
    """Whether the last fifth of a curve lies at or above the loss of guessing.

    Args:
        loss: Logged losses; NaN where none was logged.
        chance: Loss of guessing at each of them; 0 where there was nothing to guess among.
    """
    rows = [(a, b) for a, b in zip(loss, chance, strict=True) if b > 0 and not math.isnan(a)]
    if not rows:
        return None
    mean, guess = np.mean(rows[-math.ceil(len(rows) / 5) :], axis=0)
    if mean < CHANCE * guess:
        return None
    return SearchWarning(
        "loss at chance",
        f"learn ended at a loss of {mean:.2f}, where guessing has {guess:.2f}: nothing was learned; try more "
        "learn.steps, or another learn.lr",
    )


def loss_rises(loss: Sequence[float], chance: Sequence[float], settled: Sequence[bool]) -> SearchWarning | None:
    """Whether a loss rises over its steps.

    Quarters of the curve are compared where both hold enough logged steps to know their scatter. Between a few steps a
    rise counts only near the loss of guessing.

    Args:
        loss: Logged losses; NaN where none was logged.
        chance: Loss of guessing at each of them; 0 where there was nothing to guess among.
        settled: Whether the loss of a row compares with that of later rows: false while the queue of negatives still
            holds random entries, or fewer than later.
    """
    rows = [(a, b, c) for a, b, c in zip(loss, chance, settled, strict=True) if b > 0 and not math.isnan(a)]
    values = np.array([a for a, _, c in rows if c])
    quarter = len(values) // 4
    if quarter >= QUARTER:
        first, last = values[:quarter], values[-quarter:]
        error = math.sqrt((first.var(ddof=1) + last.var(ddof=1)) / quarter)
        begin, end = float(first.mean()), float(last.mean())
        rises = end - begin > max(RISE_ERRORS * error, (1 - CHANCE) * abs(begin))
    else:
        if len(rows) < 2:
            return None
        (begin, *_), (end, guess, _) = rows[0], rows[-1]
        rises = end > begin and end > NEAR_CHANCE * guess
    if not rises:
        return None
    return SearchWarning(
        "loss rises",
        f"the loss of learn rose from {begin:.2f} to {end:.2f}: it learned less and less, or too little to tell; try "
        "more learn.steps, or a lower learn.lr",
    )


def accuracy_at_chance(
    accuracy: float, images: int, guess: float, what: str, cure: str, check: str = "accuracy at chance"
) -> SearchWarning | None:
    """The line of :func:`pinas_zoo.engine.guessing.at_chance` as a warning of the name ``check``."""
    text = at_chance(accuracy, images, guess, what, cure)
    return None if text is None else SearchWarning(check, text)


def no_better_than_untrained(learned: float, untrained: float, images: int) -> SearchWarning | None:
    """Whether probes of the learned supernet are no better than those of the same supernet with its first weights.

    The error is that of a difference on different images. Both saw the same ones, which lowers it, so that a difference
    that counts is a large one: 3 steps of ``digits`` gain up to 5 points by chance of the seed, its 200 steps 17.

    Args:
        learned: Accuracy in 0..1.
        untrained: The same with the first weights.
        images: Number of images of either.
    """
    error = math.sqrt((learned * (1 - learned) + untrained * (1 - untrained)) / images)
    if learned - untrained > GAIN_ERRORS * error:
        return None
    return SearchWarning(
        "no better than untrained",
        f"linear probes of the learned supernet name {learned:.1%} of {images} held-out images, those of its first "
        f"weights {untrained:.1%}, which is within noise ({GAIN_ERRORS * error:.1%}): learning did not improve the "
        "features; try more learn.steps, or another learn.lr",
    )


def equal_scores(
    scores: Sequence[Score], name: str, is_accuracy: bool, shown: str = "", trained: bool = True
) -> SearchWarning | None:
    """Whether all candidates have one score, so that it chose none of them.

    Args:
        scores: Of the candidates.
        name: What the score is called.
        is_accuracy: Whether it is an accuracy.
        shown: The first score as text. Empty: in percent.
        trained: Whether a supernet was learned for it.
    """
    if len(scores) < 2 or len({score.accuracy for score in scores}) > 1:
        return None
    ordered = len({score.loss for score in scores}) > 1
    by = "their losses alone order them" if ordered else "the winner is an arbitrary one"
    cure = "more held-out images (data.val_per_class), or a harder task" if is_accuracy else "more learn.steps"
    if is_accuracy and scores[0].accuracy < 0.9:
        cure = "more learn.steps and linear.steps"
    if not trained:
        cure = "another explore.score, as this one tells no architectures of this space apart"
    value = shown or f"{scores[0].accuracy:.2%}"
    return SearchWarning(
        "equal scores", f"all {len(scores)} candidates have the same {name}, {value}: {by}; try {cure}"
    )


def shared_best_score(scores: Sequence[Score], name: str, shown: Callable[[float], str]) -> SearchWarning | None:
    """Whether several candidates, but not all, share the best score, as the counts of scores without a supernet do.

    Args:
        scores: Of the candidates.
        name: What the score is called.
        shown: A score as text.
    """
    best = max((score.accuracy for score in scores), default=0.0)
    sharing = sum(score.accuracy == best for score in scores)
    if sharing < 2 or sharing == len(scores):
        return None  # of the latter, equal_scores says so
    return SearchWarning(
        "shared best score",
        f"{sharing} of {len(scores)} candidates share the best {name}, {shown(best)}: the winner is an arbitrary one; "
        "try a list as explore.score, such as ['jacov', 'reachable_flops']",
        blocks=False,
    )


def few_distinct_scores(scores: Sequence[Score], name: str, is_accuracy: bool) -> SearchWarning | None:
    """Whether many candidates share their score and loss, or accuracies are too coarse to order the candidates.

    Equal scores with different losses are usual for accuracies on few images, so that alone blocks nothing.
    """
    count, values = len(scores), len({score.accuracy for score in scores})
    both = len({(score.accuracy, score.loss) for score in scores})
    if values < 2:
        return None  # equal_scores says so
    if count > 2 and both <= DISTINCT * count:
        return SearchWarning(
            "few distinct scores",
            f"{count} candidates have {both} different scores: the supernet hardly tells its paths apart; try more "
            "learn.steps, and check that the paths of the space differ",
        )
    if is_accuracy and count >= MANY and values <= COARSE * count:
        return SearchWarning(
            "coarse scores",
            f"the {name} of {count} candidates has {values} different values: mostly their losses order them; try more "
            "held-out images (data.val_per_class), or a harder task",
            blocks=False,
        )
    return None


def unexplained_scores(
    scores: Mapping[Arch, Score], num_candidates: int, reachable: Reachable = itself
) -> SearchWarning | None:
    """Whether sums of main effects predict neither scores nor losses that they were not fitted to.

    Fewer scores than twice the unknowns of the sums decide nothing.

    Args:
        scores: Of the candidates.
        num_candidates: Candidates per layer.
        reachable: Of the space.
    """
    if not enough_scores(scores):
        return None
    columns = ({a: s.accuracy for a, s in scores.items()}, {a: s.loss for a, s in scores.items()})
    varying = [column for column in columns if len(set(column.values())) > 1]
    explained = [main_effects(column, num_candidates, reachable).explained for column in varying]
    if not explained or max(explained) > 0:
        return None
    return SearchWarning(
        "unexplained scores",
        f"what each choice adds predicts none of the differences between the {len(scores)} scores (R2 "
        f"{max(explained):.2f} on scores left out): they look like noise; try more learn.steps or held-out images",
    )
