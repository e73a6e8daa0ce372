"""The jobs of a study, which one or more workers do: learn supernets, train architectures, score them.

What is complete stands in the folder. The study's database has only leases: a worker leases a job before it begins, and
gives it back at its end. A killed worker's jobs are leased again and resume where they stopped. A worker that was
suspended loses its lease while it still holds the job's folder: the others leave that job out until the folder is free.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import Trial, TrialState

from pinas_zoo.arch import Arch
from pinas_zoo.engine.folder_links import refuse_links
from pinas_zoo.engine.folder_lock import FolderHeld
from pinas_zoo.errors import UserError
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.spaces.base import SearchSpace, build_space
from pinas_zoo.search.study import leases
from pinas_zoo.search.study.leases import CandidateLeases, held
from pinas_zoo.search.study.storage import open_study, storage_errors
from pinas_zoo.search.trained_study.architectures import StudiedArch, studied
from pinas_zoo.search.trained_study.config import StudyConfig
from pinas_zoo.search.trained_study.supernets import StudiedSupernet
from pinas_zoo.search.trained_study.trainings import StudiedTraining

STUDY = "study.json"  # the resolved configuration, for readers
PARTS = ("supernets", "trained", "scores")  # folders
HELD_FOR = 60.0  # seconds until a worker looks again whether a job's folder, which another process holds, is free
Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A piece of work that one worker does.

    Attributes:
        key: Its name, by which it is leased.
        is_complete: Whether its result is in the folder.
        run: Does it, or resumes, and returns a summary.
    """

    key: str
    is_complete: Callable[[], bool]
    run: Callable[[], str]


class Study:
    """A study in its folder.

    Args:
        config: The configuration.
        folder: Its folder.
        say: Receives lines of the stages of supernets.

    Raises:
        UserError: The space is invalid, or the architectures do not fit together.
    """

    def __init__(self, config: StudyConfig, folder: Path, say: Say):
        self.config, self.folder, self.say = config, folder, say
        self.space: SearchSpace = build_space(config.space)
        self.supernets = [
            StudiedSupernet(config, self.space, folder, method, seed)
            for seed in config.supernet_seeds
            for method in config.methods
        ]
        studied(config, self.space, {})  # raises what is wrong with the counts
        self.titles = _titles(config)  # of the methods, for tables

    def check_methods(self) -> None:
        """Check the methods of supernets that are not learned yet, before hours of work on the first ones.

        Raises:
            UserError: A method does not accept an option.
        """
        for one in self.supernets[: len(self.config.methods)]:
            if not one.is_learned():
                one.check_method()

    def architectures(self) -> list[StudiedArch]:
        """The architectures; without the methods' best while a supernet is missing."""
        first = [supernet for supernet in self.supernets if supernet.seed == self.config.supernet_seeds[0]]
        best: dict[str, Arch] = {one.method: one.best() for one in first if one.is_learned()}
        trained = self.folder / "trained"
        begun = [path.name for path in trained.iterdir() if path.is_dir()] if trained.is_dir() else []
        return studied(self.config, self.space, best, begun)

    def training(self, arch: Arch, seed: int) -> StudiedTraining:
        return StudiedTraining(self.config, self.space, self.folder, arch, seed)

    def jobs(self) -> Iterator[Job]:
        """All jobs that are known, in the order in which they are begun.

        The first training comes first, because it finds faults of the recipe before supernets take hours. Supernets
        come before the other trainings, because their winners are to be trained.
        """
        archs = [one.arch for one in self.architectures()]
        trainings = [self._train(arch, seed) for seed in self.config.seeds for arch in archs]
        yield trainings[0]
        yield from map(self._learn, self.supernets)
        if len(archs) == self.config.count:  # the methods' best are known
            yield from (self._score(one, archs) for one in self.supernets if one.is_learned())
        yield from trainings[1:]

    def _learn(self, one: StudiedSupernet) -> Job:
        return Job(f"learn {one.method} seed {one.seed}", one.is_learned, lambda: one.learn(self.say))

    def _score(self, one: StudiedSupernet, archs: Sequence[Arch]) -> Job:
        return Job(f"score {one.method} seed {one.seed}", lambda: one.is_scored(archs), lambda: one.score(archs))

    def _train(self, arch: Arch, seed: int) -> Job:
        one = self.training(arch, seed)
        return Job(f"train {arch} seed {seed}", one.is_complete, one.run)

    def total(self) -> int:
        """Number of jobs in all, those included that are not known yet."""
        return self.config.count * len(self.config.seeds) + 2 * len(self.supernets)


def check_study_folder(folder: Path, begun: bool = False) -> None:
    """Check that a folder is a study's, or can become one.

    Args:
        folder: The folder.
        begun: Whether a study has to be there.

    Raises:
        UserError: It cannot.
    """
    has = any((folder / name).exists() for name in (STUDY, "supernets"))
    if begun and not has:
        raise UserError(f"expected the folder of a study, got {folder}; run it without --report first")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"expected a folder for the study, got the file {folder}; choose another with --work-dir")
    below = [part for name in PARTS for part in (folder / name, *sorted((folder / name).glob("*")))]
    refuse_links(folder, [str(part.relative_to(folder)) for part in below])  # those of a job are checked with it
    # one that was killed while it wrote study.json has nothing else
    if not has and folder.is_dir() and any(not path.name.startswith(f".{STUDY}.") for path in folder.iterdir()):
        raise UserError(f"expected an empty folder or a study, got {folder}; choose another with --work-dir")


def _titles(config: StudyConfig) -> dict[str, str]:
    """Titles of the methods by name; the name stands beside the title where several methods have the same."""
    titles = {name: method_class(config.search_config(name, 0).learn.method).title for name in config.methods}
    several = {title for title, times in Counter(titles.values()).items() if times > 1}
    return {name: f"{title} ({name})" if title in several else title for name, title in titles.items()}


def work(study: Study, wait: bool) -> bool:
    """Do jobs until none is left, together with other workers.

    Args:
        study: The study.
        wait: Whether to wait for jobs of other workers.

    Returns:
        Whether all jobs are complete.

    Raises:
        UserError: A job cannot be done, or the storage cannot be opened.
    """
    config, folder = study.config, study.folder
    folder.mkdir(parents=True, exist_ok=True)
    held_until: dict[str, float] = {}  # by key: when to look again, by time.monotonic
    storage = open_study(config.storage, folder, config.name, key="storage")
    with (
        storage_errors(config.storage or str(folder / "study.db"), "storage"),
        CandidateLeases(storage, sys.maxsize).heartbeats() as own,
    ):
        while True:
            known = list(study.jobs())
            left = [job for job in known if not job.is_complete()]
            if not left:
                return True
            now = time.monotonic()
            leased = _lease_one(own, [job for job in left if held_until.get(job.key, now) <= now])
            if leased is not None:
                job, trial = leased
                started = time.perf_counter()
                try:
                    summary = job.run()
                except FolderHeld as error:
                    if job.key not in held_until:
                        study.say(f"{job.key}: left to {error.holder}, which holds its folder without a lease")
                    held_until[job.key] = time.monotonic() + HELD_FOR
                    continue
                finally:
                    own.give_up(trial.number)
                done, seconds = len(known) - len(left) + 1, time.perf_counter() - started
                study.say(f"{job.key}: {summary} ({seconds:.0f} s; {done} of {study.total()} jobs are complete)")
            elif wait:
                time.sleep(leases.POLL)
            else:
                study.say(f"{len(left)} jobs are left, which other workers do, or which follow from theirs")
                return False


def _lease_one(own: CandidateLeases, left: list[Job]) -> tuple[Job, Trial] | None:
    """Lease the first job that no living worker has, and that none has completed meanwhile; None if there is none."""
    own.orphans()  # ends the leases of dead workers
    taken = held(own.trials())
    for job in left:
        template = optuna.create_trial(state=TrialState.RUNNING, user_attrs={"arch": job.key})
        trial = None if job.key in taken else own.lease(template)
        if trial is None:
            continue
        if not job.is_complete():
            return job, trial
        own.give_up(trial.number)
    return None
