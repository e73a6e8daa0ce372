"""What the study of a run holds: scores of candidates, and a check that they belong to the run's space."""

from __future__ import annotations

import math
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import SearchSpace


def known_scores(study: optuna.Study) -> dict[Arch, Score]:
    """Scores of the completed trials, in the order of evaluation."""
    trials = study.get_trials(deepcopy=False)
    losses: dict[str, float] = {}
    for trial in trials:  # one trial of a batch stores the losses of all; it may have been marked as failed since
        losses |= trial.user_attrs.get("scored", {}).get("losses", {})
    scores: dict[Arch, Score] = {}
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            arch = trial.user_attrs["arch"]
            loss = losses[arch] if arch in losses else trial.user_attrs["loss"]  # format of older studies
            scores.setdefault(Arch.parse(arch), Score(float(trial.value or 0.0), loss))
    return scores


def exploration_seconds(study: optuna.Study) -> float:
    """Seconds that scoring took, over all workers and attempts."""
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
            user_attrs={"arch": str(arch), "loss": score.loss},
        )
    )


def layer_name(index: int) -> str:
    """Name of a layer's parameter in a trial."""
    return f"layer{index:02d}"


def check_trials(study: optuna.Study, space: SearchSpace, where: str) -> None:
    """Check that every trial has an architecture of the space, and a finite score once it is complete.

    Args:
        study: The study.
        space: Search space of the run.
        where: The storage, for messages.

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
        for trial in trials:
            losses |= _scored(trial).get("losses", {})
    except (AttributeError, TypeError, ValueError):
        losses = {}
    for trial in trials:
        problem = _problem(trial, space, losses)
        if problem:
            raise UserError(
                f"expected candidates of this run in the study of {where}, got trial {trial.number} with {problem}; "
                "delete the study to score anew, or give the right explore.storage"
            )


def _scored(trial: FrozenTrial) -> dict[str, Any]:
    found = trial.user_attrs.get("scored", {})
    if not isinstance(found, dict) or not isinstance(found.get("losses", {}), dict):
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
        return "losses of another form"
    if not _is_number(scored.get("seconds", 0.0)):
        return f"seconds {scored['seconds']!r}"
    if trial.state != TrialState.COMPLETE:
        return None
    loss = losses.get(text, trial.user_attrs.get("loss"))
    if not (_is_number(trial.values[0] if trial.values else None) and _is_number(loss)):
        return f"score {trial.values} and loss {loss!r}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
