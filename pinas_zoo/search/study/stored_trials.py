"""What the study of a run holds: scores of candidates, and a check that they belong to the run's space."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from pinas_zoo.arch import Arch
from pinas_zoo.bounded_reading import is_finite
from pinas_zoo.errors import UserError
from pinas_zoo.search.scorers.log_ranks import combined
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import SearchSpace


def known_scores(study: optuna.Study, weights: Mapping[str, float] | None = None) -> dict[Arch, Score]:
    """Scores of the completed trials, in the order of evaluation.

    Args:
        study: The study.
        weights: ``weights`` of the run's ``explore`` table: the parts of each trial's score are combined by their
            ranks among all of these trials. None: each trial has a single score.
    """
    return combined(trial_scores(study.get_trials(deepcopy=False)), weights)


def trial_scores(trials: Sequence[FrozenTrial]) -> dict[Arch, Score]:
    """Scores of the completed trials as they are stored, in their order. Parts are not combined."""
    losses: dict[str, float] = {}
    parts: dict[str, dict[str, tuple[float, float]]] = {}
    for trial in trials:  # one trial of a batch stores the losses of all; it may have been marked as failed since
        stored = trial.user_attrs.get("scored", {})
        losses |= stored.get("losses", {})
        parts |= stored.get("parts", {})
    scores: dict[Arch, Score] = {}
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            arch = trial.user_attrs["arch"]
            loss = losses[arch] if arch in losses else trial.user_attrs["loss"]  # format of older studies
            by_kind = {name: Score(*values) for name, values in parts.get(arch, {}).items()}
            scores.setdefault(Arch.parse(arch), Score(float(trial.value or 0.0), loss, by_kind))
    return scores


def scored_facts(archs: Sequence[Arch], scores: Sequence[Score], seconds: float) -> dict[str, Any]:
    """What one trial of a batch stores for all of it: seconds, losses, and the parts of scores that have some.

    Seconds are those of the sampler and the scorer. The value of a trial is the score; where it has parts, that of the
    first part.
    """
    found = {str(arch): score for arch, score in zip(archs, scores, strict=True)}
    facts: dict[str, Any] = {"seconds": seconds, "losses": {arch: score.loss for arch, score in found.items()}}
    if any(score.parts for score in scores):
        facts["parts"] = {
            arch: {name: [part.accuracy, part.loss] for name, part in score.parts.items()}
            for arch, score in found.items()
        }
    return facts


def exploration_seconds(study: optuna.Study) -> float:
    """Seconds that proposing and scoring took, over all workers and attempts."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sum(t.user_attrs.get("scored", t.user_attrs).get("seconds", 0.0) for t in complete)


def add_score(study: optuna.Study, space: SearchSpace, arch: Arch, score: Score) -> None:
    """Add the score of an architecture that was not proposed by a sampler."""
    candidates = CategoricalDistribution(tuple(range(space.num_candidates)))
    choices: dict[str, BaseDistribution] = {layer_name(k): candidates for k in range(len(arch))}
    study.add_trial(
        optuna.create_trial(
            value=score.accuracy,
            params={layer_name(k): choice for k, choice in enumerate(arch)},
            distributions=choices,
            user_attrs={"arch": str(arch), "scored": scored_facts([arch], [score], 0.0)},
        )
    )


def layer_name(index: int) -> str:
    """Name of a layer's parameter in a trial."""
    return f"layer{index:02d}"


def check_trials(study: optuna.Study, space: SearchSpace, where: str, kinds: Collection[str] = ()) -> None:
    """Check that every trial has an architecture of the space, and a finite score once it is complete.

    Args:
        study: The study.
        space: Search space of the run.
        where: The storage, for messages.
        kinds: Parts that every score has.

    Raises:
        UserError: With the first trial that is not.
    """
    try:
        trials = study.get_trials(deepcopy=False)
    except Exception as error:  # optuna and SQLAlchemy raise many types for rows that they did not write
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise UserError(f"the study of {where} cannot be read: {reason}; delete it to score anew") from None
    try:
        losses: dict[str, Any] = {}
        parts: dict[str, Any] = {}
        for trial in trials:
            losses |= _scored(trial).get("losses", {})
            parts |= _scored(trial).get("parts", {})
    except (AttributeError, TypeError, ValueError):
        losses = parts = {}
    for trial in trials:
        problem = _problem(trial, space, losses) or _problem_of_parts(trial, parts, kinds)
        if problem:
            raise UserError(
                f"expected candidates of this run in the study of {where}, got trial {trial.number} with {problem}; "
                "delete the study to score anew, or give the right explore.storage"
            )


def _scored(trial: FrozenTrial) -> dict[str, Any]:
    found = trial.user_attrs.get("scored", {})
    if not isinstance(found, dict) or not all(isinstance(found.get(key, {}), dict) for key in ("losses", "parts")):
        raise TypeError
    return found


def _problem(trial: FrozenTrial, space: SearchSpace, losses: dict[str, Any]) -> str | None:
    """What is wrong with a trial; None if nothing is."""
    text = trial.user_attrs.get("arch")
    if text is None and trial.state in (TrialState.FAIL, TrialState.WAITING):
        return None
    if not isinstance(text, str):
        return f"architecture {text!r}"
    try:
        arch = space.parse(text)
    except ValueError:
        return f"architecture {text!r}"
    if trial.params != {layer_name(k): choice for k, choice in enumerate(arch)}:
        return f"other choices than those of its architecture {text}"
    try:
        scored = _scored(trial)
    except TypeError:
        return "losses or parts of another form"
    if not is_finite(scored.get("seconds", 0.0)):
        return f"seconds {scored['seconds']!r}"
    if trial.state != TrialState.COMPLETE:
        return None
    loss = losses.get(text, trial.user_attrs.get("loss"))
    if not (is_finite(trial.values[0] if trial.values else None) and is_finite(loss)):
        return f"score {trial.values} and loss {loss!r}"
    return None


def _problem_of_parts(trial: FrozenTrial, parts: Mapping[str, Any], kinds: Collection[str]) -> str | None:
    """What is wrong with the parts of a complete trial's score, which are pairs of a score and a loss."""
    found = parts.get(trial.user_attrs.get("arch", ""), {})
    if trial.state != TrialState.COMPLETE or not (kinds or found):
        return None
    if not isinstance(found, dict) or not set(kinds) <= set(found):
        return f"other scores than {', '.join(kinds)}"
    pairs = [pair for pair in found.values() if isinstance(pair, list) and len(pair) == 2 and all(map(is_finite, pair))]
    return None if len(pairs) == len(found) else f"scores {found!r}"
