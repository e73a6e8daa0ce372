"""Exploration: an Optuna study proposes paths, each is scored once.

The study is the record: it lives in the run folder, and a stopped exploration goes on from it.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from optuna.trial import TrialState
from tqdm import tqdm

from pinas_zoo.arch import Arch
from pinas_zoo.search import config
from pinas_zoo.search.evaluate import Score
from pinas_zoo.search.space import SearchSpace, step_rng

PROPOSALS = 4  # random stream
MAX_REPEATS = 20  # proposals in a row that were scored before, then a random new one


def explore(
    space: SearchSpace, evaluate: Callable[[Arch], Score], options: config.Explore, folder: Path, seed: int
) -> dict[Arch, Score]:
    """Score distinct architectures until ``options.evaluations`` are known (or the whole space is).

    Proposals are random for the first population and evolve from there (NSGA-II, which with one objective is a plain
    genetic algorithm). Each proposal's generator follows from the seed and the trial's number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=study_url(folder), study_name="explore", direction="maximize", load_if_exists=True
    )
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(left.number, state=TrialState.FAIL)  # a killed run's; the same is proposed next
    scores = known_scores(study)
    goal = min(options.evaluations, space.size)
    repeats = _trailing_repeats(study)
    with tqdm(total=goal, initial=len(scores), desc="explore", unit="arch", file=sys.stderr, mininterval=0.5) as bar:
        while len(scores) < goal:
            number = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))  # kills leave no mark on it
            study.sampler = optuna.samplers.NSGAIISampler(
                population_size=options.population,
                seed=int(step_rng(seed, number, PROPOSALS).integers(2**31)),
            )
            if repeats >= MAX_REPEATS:
                study.enqueue_trial(_params(_unseen(space, scores, seed, number)))
            trial = study.ask()
            arch = Arch(
                tuple(
                    trial.suggest_categorical(_layer(k), tuple(range(space.num_candidates)))
                    for k in range(space.num_layers)
                )
            )
            repeats = repeats + 1 if arch in scores else 0
            if arch not in scores:
                scores[arch] = evaluate(arch)
                bar.update()
                bar.set_postfix(best=f"{max(s.accuracy for s in scores.values()):.3f}")
            trial.set_user_attr("arch", str(arch))
            trial.set_user_attr("loss", scores[arch].loss)
            study.tell(trial, scores[arch].accuracy)
    return scores


def _trailing_repeats(study: optuna.Study) -> int:
    """Proposals at the end of the study that had been scored before, so that a resumed run counts on."""
    seen: set[str] = set()
    repeats = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        repeats = repeats + 1 if trial.user_attrs["arch"] in seen else 0
        seen.add(trial.user_attrs["arch"])
    return repeats


def exploration_seconds(folder: Path) -> float:
    """Seconds spent on completed trials, over all attempts."""
    study = optuna.load_study(study_name="explore", storage=study_url(folder))
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sum(t.duration.total_seconds() for t in trials if t.duration is not None)


def study_url(folder: Path) -> str:
    return f"sqlite:///{(folder / 'study.db').resolve()}"


def known_scores(study: optuna.Study) -> dict[Arch, Score]:
    """Scores of the completed trials, in the order in which architectures were first scored."""
    scores: dict[Arch, Score] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        arch = Arch.parse(trial.user_attrs["arch"])
        scores.setdefault(arch, Score(float(trial.value or 0.0), trial.user_attrs["loss"]))
    return scores


def best(scores: dict[Arch, Score]) -> Arch:
    """Highest accuracy; of equals, the lowest loss."""
    return max(scores, key=lambda arch: (scores[arch].accuracy, -scores[arch].loss))


def write_ranking(path: Path, space: SearchSpace, scores: dict[Arch, Score], image_size: int) -> None:
    """A CSV of all scored architectures, the best first; params in millions, multiply-adds in billions."""
    order = sorted(scores, key=lambda arch: (-scores[arch].accuracy, scores[arch].loss))
    evaluated = {arch: k for k, arch in enumerate(scores)}
    temporary = path.with_name(f".{path.name}")
    with temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "arch", "accuracy", "loss", "params_m", "flops_g", "evaluation"])
        for rank, arch in enumerate(order, 1):
            params_m, flops_g = space.cost(arch, image_size)
            score = scores[arch]
            writer.writerow(
                [
                    rank,
                    arch,
                    f"{score.accuracy:.5f}",
                    f"{score.loss:.5f}",
                    f"{params_m:.6f}",
                    f"{flops_g:.6f}",
                    evaluated[arch],
                ]
            )
    os.replace(temporary, path)


def read_ranking(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _layer(index: int) -> str:
    return f"layer{index:02d}"


def _params(arch: Arch) -> dict[str, int]:
    return {_layer(k): choice for k, choice in enumerate(arch)}


def _unseen(space: SearchSpace, scores: dict[Arch, Score], seed: int, number: int) -> Arch:
    """A random architecture that has no score; the caller makes sure that there is one."""

    def candidates() -> Iterator[Arch]:
        attempt = 0
        while True:
            attempt += 1
            yield from space.sample(step_rng(seed, number, PROPOSALS + 100 * attempt))

    return next(arch for arch in candidates() if arch not in scores)
