"""The loop of exploration: a sampler proposes architectures, and one or more workers score each of them once.

All state is in the Optuna study, which is in the run folder or in ``explore.storage``. An interrupted exploration
resumes from it. Where several scores are combined, the study keeps the single scores, and the sums of log ranks are
computed from those that are known at the time: at each batch of proposals, and once all are scored.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search import config
from pinas_zoo.search.samplers.action_space import ActionSpaceSampler
from pinas_zoo.search.samplers.arch2vec import Arch2VecSampler, LatentSpace
from pinas_zoo.search.samplers.graph_autoencoder import AutoencoderOptions
from pinas_zoo.search.scorers.log_ranks import combined
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.study import leases
from pinas_zoo.search.study.constraints import Limits
from pinas_zoo.search.study.leases import CandidateLeases
from pinas_zoo.search.study.stored_trials import known_scores, layer_name, scored_facts, trial_scores
from pinas_zoo.terminal import progress

MAX_REPEATS = 20  # consecutive proposals that are known or exceed a limit, after which a new one is random
MAX_SLOW = 200  # consecutive candidates above explore.max_latency_ms, after which the search stops


def explore_study(
    space: SearchSpace,
    evaluate: Callable[[list[Arch]], Sequence[Score]],
    options: config.Explore,
    study: optuna.Study,
    seed: int,
    image_size: int = 224,
    latency: Callable[[Arch], float] | None = None,
) -> dict[Arch, Score]:
    """Score distinct architectures until the study has ``options.evaluations`` scores, or all within the limits.

    Args:
        space: The search space.
        evaluate: Function that returns the scores of architectures, in their order.
        options: The ``explore`` table of the configuration.
        study: Study from :func:`pinas_zoo.search.study.storage.open_study`, which other workers may share.
        seed: Seed from which proposals derive, together with the study's trials.
        image_size: Height and width in pixels, on which multiply-adds depend.
        latency: Function that measures the latency of an architecture in milliseconds. It is called once per
            architecture if ``options.max_latency_ms`` is set.

    Returns:
        All scores of the study, in the order of evaluation.

    Raises:
        UserError: Too few architectures are within the limits.
    """
    limits = Limits(space, options, image_size)
    goal = min(options.evaluations, limits.reachable(seed))
    scores = known_scores(study, options.weights)
    started = time.perf_counter()  # of a batch; the sampler's time is part of it
    with ExitStack() as stack:
        own = stack.enter_context(CandidateLeases(study, goal).heartbeats())
        proposals = Proposals(space, options, limits, own, seed, latency)
        if len(scores) < goal:
            proposals.prepare()
        bar = stack.enter_context(progress(goal, len(scores), "explore", "arch"))
        while len(scores) < goal:
            batch = proposals.batch(options.batch)
            if batch:
                archs = [arch for _, arch in batch]
                found = evaluate(archs)
                check_scores(archs, found)
                scored = scored_facts(archs, found, time.perf_counter() - started)
                for trial, _ in batch:  # one write for the whole batch, before any trial is finished
                    with suppress(UpdateFinishedTrialError):  # another worker has marked this trial as failed
                        trial.set_user_attr("scored", scored)
                        break
                for (trial, _), score in zip(batch, found, strict=True):
                    study.tell(trial, score.accuracy, skip_if_finished=True)
            else:  # other workers score the remaining candidates
                time.sleep(leases.POLL)
            started = time.perf_counter()
            scores = known_scores(study, options.weights)
            best = {"best": max(s.accuracy for s in scores.values())} if scores else {}
            bar.update(len(scores) - bar.done, **best)
    return scores


class Proposals:
    """Proposes architectures that are new and within the limits, and leases them for this worker.

    Samplers use an in-memory copy of the study without the failed trials. A rejected proposal therefore costs no write
    to the storage, and trials of killed workers do not influence later proposals.

    A sum of log ranks moves with every further score. The copy of a study of such sums is made anew whenever it has
    further scores, with the sums among those, so that proposals depend on what the study holds and not on when it was
    read. A single score does not move, and its trials are copied once.
    """

    def __init__(
        self,
        space: SearchSpace,
        options: config.Explore,
        limits: Limits,
        own: CandidateLeases,
        seed: int,
        latency: Callable[[Arch], float] | None,
    ):
        self.space, self.options, self.limits, self.own = space, options, limits, own
        self.seed, self.latency = seed, latency
        self.distributions: dict[str, BaseDistribution] = {
            layer_name(k): CategoricalDistribution(choices) for k, choices in enumerate(space.choices)
        }
        self.settings = options.action_space.settings(options.random_first)
        self.latent = LatentSpace(
            space,
            seed,
            options.arch2vec.pool,
            AutoencoderOptions(**options.arch2vec.model_dump(exclude={"random_first", "refit_every", "pool"})),
            limits.allow if limits.bounded else None,
        )
        self._new_copy()
        self.held: set[str] = set()  # architectures that are scored or being scored
        self.slow: set[str] = set()  # architectures that exceed the latency limit
        self.misses: list[float] = []  # milliseconds of consecutive candidates that exceed it

    def prepare(self) -> None:
        """Train what the sampler needs for proposals that are not random, with a progress line of its own."""
        if self.options.sampler == "arch2vec" and self.own.goal > self.options.arch2vec.random_first:
            self.latent.train(bar=True)

    def _new_copy(self) -> None:
        """Begin the copy of the study, and samplers that know nothing of an earlier one."""
        arch2vec = self.options.sampler == "arch2vec"
        self.learned = self._arch2vec() if arch2vec else self._action_space(self.settings.random_first)
        self.random = self._action_space(sys.maxsize)
        self.copy = optuna.create_study(direction="maximize", sampler=self.learned)
        self.copied: dict[int, int] = {}  # trial number in the study to number in the copy
        self.open: set[int] = set()  # numbers in the study of copied trials that were running
        self.values: dict[str, float] = {}  # sums of log ranks by architecture, where the score is such a sum

    def _feasible(self) -> Callable[[dict[str, int]], bool] | None:
        """Whether parameters are within the limits; None without limits."""
        return (lambda params: self.limits.allow(_arch(params))) if self.limits.bounded else None

    def _arch2vec(self) -> Arch2VecSampler:
        options = self.options.arch2vec
        return Arch2VecSampler(
            self.latent, self.seed, options.random_first, options.refit_every, self.distributions, self._feasible()
        )

    def _action_space(self, random_first: int) -> ActionSpaceSampler:
        settings = self.settings
        return ActionSpaceSampler(
            self.seed,
            n_startup_trials=random_first,
            height=settings.height,
            exploration=settings.exploration,
            ranked=settings.ranked,
            split=settings.split,
            search_space=self.distributions,
            feasible=self._feasible(),
        )

    def batch(self, most: int) -> list[tuple[Trial, Arch]]:
        """Lease up to ``most`` architectures.

        Architectures of dead workers come first. They are completed to a full batch by new ones, so that later
        proposals are the same as without the interruption.
        """
        orphans = self.own.orphans()
        self._copy_trials()
        known = len(self.held) + len(orphans)
        new = min(-known % most if orphans else most, self.own.goal - known)
        found: list[tuple[Trial, Arch]] = []
        for orphan in orphans[:most]:
            found += self._lease(orphan) or []
        while new > 0 and len(found) < most:
            one = self._new()
            if one is None:
                break
            found += one
            new -= len(one)
        return found

    def _new(self) -> list[tuple[Trial, Arch]] | None:
        """Lease one new architecture.

        Returns:
            The trial and its architecture; an empty list if it exceeds the latency limit; None if other workers have
            leased all that remain.
        """
        for attempt in range(2 * MAX_REPEATS):
            if len(self.held) >= self.own.goal:
                return None
            number = sum(t.state != TrialState.FAIL for t in self.copy.get_trials(deepcopy=False))
            if attempt < MAX_REPEATS:
                self.copy.sampler = self._sampler(step_rng(self.seed, number, Stream.PROPOSALS, attempt))
            else:
                self.copy.sampler = self.random
            copy = self.copy  # a lost lease may begin another one
            proposal = copy.ask(self.distributions)
            arch = _arch(proposal.params)
            if str(arch) not in self.held | self.slow and self.limits.allow(arch):
                proposal.set_user_attr("arch", str(arch))
                template = copy.get_trials(deepcopy=False)[proposal.number]
                won = self._lease(template, copied=proposal.number)
                if won is not None:
                    return won
                self._copy_trials()
            copy.tell(proposal, state=TrialState.FAIL)
        raise UserError(
            f"expected {self.own.goal} architectures within {self.limits}, found {len(self.held)}; "
            f"{self.limits.smallest(arch)}; raise the limit or lower explore.evaluations"
        )

    def _sampler(self, rng: np.random.Generator) -> BaseSampler:
        kind, seed = self.options.sampler, int(rng.integers(2**31))
        if kind == "nsga2":
            return NSGAIISampler(population_size=self.options.population, seed=seed)
        if kind == "tpe":
            return TPESampler(n_startup_trials=self.options.random_first, seed=seed)
        return self.random if kind == "random" else self.learned

    def _copy_trials(self) -> None:
        """Update the in-memory copy, and the sets of held and slow architectures, from the study."""
        trials = self.own.trials()
        if self.options.weights is not None:
            scores = trial_scores(trials)
            if len(scores) != len(self.values):
                self._new_copy()
                self.values = {str(a): s.accuracy for a, s in combined(scores, self.options.weights).items()}
        for trial in trials:
            if trial.number in self.copied:
                if trial.number in self.open and trial.state.is_finished():
                    self.open.remove(trial.number)
                    self.copy.tell(self.copied[trial.number], self._value(trial), state=trial.state)
            elif trial.state in leases.HELD or trial.state == TrialState.PRUNED:
                self.copy.add_trial(
                    optuna.create_trial(
                        state=trial.state,
                        value=self._value(trial),
                        params=trial.params,
                        distributions=trial.distributions,
                        system_attrs=trial.system_attrs,
                    )
                )
                self._copied(trial.number, len(self.copy.get_trials(deepcopy=False)) - 1, trial.state)
        self.held = leases.held(trials)
        self.slow = {t.user_attrs["arch"] for t in trials if t.state == TrialState.PRUNED}

    def _value(self, trial: FrozenTrial) -> float | None:
        """What the sampler maximises: the trial's own score, or its sum of log ranks; None if it has none."""
        if trial.state != TrialState.COMPLETE:
            return None
        return trial.value if self.options.weights is None else self.values[trial.user_attrs["arch"]]

    def _copied(self, number: int, copy: int, state: TrialState = TrialState.RUNNING) -> None:
        self.copied[number] = copy
        if not state.is_finished():
            self.open.add(number)

    def _lease(self, template: FrozenTrial, copied: int | None = None) -> list[tuple[Trial, Arch]] | None:
        """Lease the architecture of a template.

        Returns:
            The trial and its architecture; an empty list if it exceeds the latency limit; None if another worker has
            it.
        """
        trial = self.own.lease(template)
        if trial is None:
            return None
        arch = self.space.parse(template.user_attrs["arch"])
        if copied is None:
            self._copy_trials()
        else:
            self._copied(trial.number, copied)
            self.held.add(str(arch))
        if self._fast(trial, arch):
            return [(trial, arch)]
        self._copy_trials()
        return []

    def _fast(self, trial: Trial, arch: Arch) -> bool:
        """Whether the latency is within its limit. It is measured once and stored in the trial."""
        limit = self.options.max_latency_ms
        if limit is None or self.latency is None:
            return True
        if "latency_ms" not in trial.user_attrs:
            trial.set_user_attr("latency_ms", self.latency(arch))
        value = trial.user_attrs["latency_ms"]
        if value <= limit:
            self.misses = []
            return True
        self.own.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        self.misses.append(value)
        if len(self.misses) >= MAX_SLOW:
            raise UserError(
                f"expected architectures within explore.max_latency_ms={limit:g}, measured {len(self.misses)} slower "
                f"ones in a row; the fastest takes {min(self.misses):.3g} ms; raise the limit"
            )
        return False


def check_scores(archs: Sequence[Arch], scores: Sequence[Score]) -> None:
    """Check that scores can be ranked.

    Raises:
        UserError: A score or its loss, or that of a part, is NaN or infinite.
    """
    found = [(arch, part) for arch, one in zip(archs, scores, strict=True) for part in (one, *one.parts.values())]
    for arch, score in found:
        if not (math.isfinite(score.accuracy) and math.isfinite(score.loss)):
            raise UserError(
                f"explore stopped at architecture {arch}: expected a finite score, got {score.accuracy:g} with loss "
                f"{score.loss:g}; the likely cause is weights made huge by too high a learning "
                "rate of learn or linear: lower it and search in another folder"
            )


def _arch(params: dict[str, int]) -> Arch:
    return Arch(tuple(params[layer_name(k)] for k in range(len(params))))
