"""A run is a folder: stages in order, each in its own sub-folder, skipped when complete, gone on with when not::

work_dirs/<name>/config.json              the resolved configuration
                 learn/                   supernet.safetensors, curve.csv; the method's classifier, if any
                 linear/                  classifier.safetensors, curve.csv
                 explore/                 study.db, ranking.csv
                 winner/                  a timm model folder, weights cut out of the supernet; provenance.json
                 train/                   curve.csv
                 trained/                 a timm model folder, the winner trained alone
                 report.html
each with done.json once it is complete
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import timm
import torch
from mmengine.device import get_device
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.images import ImageSet
from pinas_zoo.data.splits import Splits, load_splits
from pinas_zoo.engine import distributed, trainer
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.config import Learn, Linear, SearchConfig, Train, Views, load_config
from pinas_zoo.search.methods.base import Method, build_method
from pinas_zoo.search.preflight import check_run, check_scores
from pinas_zoo.search.ranking.main_effects import main_effects
from pinas_zoo.search.ranking.similarity import off_diagonal, path_similarity, write_matrix
from pinas_zoo.search.run_folder import DONE, STAGES, check_folder, read_done
from pinas_zoo.search.scorers.classifier import Evaluator, Score, recalibration_subset
from pinas_zoo.search.scorers.consistency import Consistency
from pinas_zoo.search.scorers.kinds import KINDS, needs_linear
from pinas_zoo.search.spaces.base import SearchSpace, Supernet, build_space
from pinas_zoo.search.stages.linear import LinearEvaluation
from pinas_zoo.search.stages.train import StandAlone, accuracy
from pinas_zoo.search.stages.winner import save_winner
from pinas_zoo.search.study.constraints import latency_ms
from pinas_zoo.search.study.leases import open_study
from pinas_zoo.search.study.loop import exploration_seconds, explore, known_scores, write_ranking
from pinas_zoo.weights.entry_points import on_meta
from pinas_zoo.weights.tensors import save_tensors
from pinas_zoo.zoo import registry

SIMILARITY_IMAGES, SIMILARITY_PATHS = 256, 4
Say = Callable[[str], None]


class Run:
    """A search and its folder.

    Args:
        config: What to do.
        folder: Where to keep it; made when missing.
        say: Takes the one-line summary of each stage.

    Raises:
        UserError: The folder holds a run of another configuration.
    """

    def __init__(self, config: SearchConfig, folder: Path, say: Say = print):
        self.config, self.folder = config, folder
        self.say: Say = say if distributed.rank() == 0 else lambda text: None
        self.space: SearchSpace = build_space(config.space)
        check_folder(config, folder)

    # what stages share -----------------------------------------------------------------------------------------------

    @cached_property
    def splits(self) -> Splits:
        splits = load_splits(self.config.data, self.config.seed)
        size = self.config.data.image_size
        self.say(
            f"data     {len(splits.train)} training, {len(splits.val)} held-out and {len(splits.test)} test images "
            f"of {size} x {size} pixels in {splits.num_classes} classes"
        )
        return splits

    def views(self, options: Any) -> BatchViews:
        return BatchViews(options, *self.normalisation)

    @cached_property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of pixels in 0..1: the configuration's, or else the training images'."""
        data = self.config.data
        if data.mean is not None and data.std is not None:
            return data.mean, data.std
        return self.splits.normalisation()

    def method(self) -> Method:
        learn = self.config.learn
        torch.manual_seed(self.config.seed)
        return build_method(learn.method, learn.options, self.space, self.splits.num_classes, self.config.seed)

    @cached_property
    def supernet(self) -> Supernet:
        """As the learn stage left it."""
        supernet = self.space.supernet()
        supernet.load_state_dict(load_file(self.folder / "learn" / "supernet.safetensors"))
        return supernet

    @cached_property
    def evaluator(self) -> Evaluator:
        options = self.config.explore
        classifier: nn.Linear | int = self.splits.num_classes
        if options.score == "classifier":
            stage = "linear" if needs_linear(self.config) else "learn"
            classifier = nn.Linear(self.supernet.num_features, self.splits.num_classes)
            classifier.load_state_dict(load_file(self.folder / stage / "classifier.safetensors"))
        subset = recalibration_subset(self.splits.train, options.recalibration_images, self.config.seed)
        normalise = self.views(self.config.views).normalise
        return Evaluator(self.supernet, classifier, subset, self.splits.val, normalise, options.batch_size)

    @cached_property
    def consistency(self) -> Consistency:
        """Scores without labels."""
        views = self.views(self.config.explore.views)
        return Consistency(
            self.supernet,
            self.splits.val,
            lambda pixels, generator: views(pixels, generator, 2),
            self.config.explore.batch_size,
            self.config.seed,
        )

    def similarity(self, images: int, paths: int, seed: int | None = None) -> NDArray[np.float64]:
        """Cosine similarities of Figure 5 on so many held-out images."""
        seed = self.config.seed if seed is None else seed
        chosen = self.splits.val.subset(
            step_rng(seed, 0, Stream.SIMILARITY_IMAGES).permutation(len(self.splits.val))[:images]
        )
        pixels = self.views(self.config.views).normalise(next(chosen.batches(len(chosen)))["pixels"])
        return path_similarity(self.space, self.supernet, pixels, seed, paths)

    # stages ----------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Every stage that is not complete, then the report and the registry entry.

        Raises:
            UserError: Images that cannot be used, or a method that cannot be built; nothing is left behind then.
        """
        check_run(self)
        if distributed.rank() == 0:
            registry.write_json(self.folder / "config.json", self.config.model_dump(mode="json"))
            for left in [*self.folder.glob(".winner.*"), *self.folder.glob(".trained.*")]:  # by a kill within a write
                shutil.rmtree(left)
        if distributed.world() > 1:
            self.say(
                f"ranks    {distributed.world()} processes share each batch: {self.config.learn.batch_size} images in "
                f"learn, {self.config.learn.batch_size // distributed.world()} each; learning rates are the configured "
                "ones"
            )
        distributed.wait()
        if not (self.folder / "config.json").is_file():
            raise UserError(f"expected --work-dir on a disk that all machines share, found no run in {self.folder}")
        for stage in STAGES:
            if stage == "train" and not self.config.train.enabled:
                self.say("train    switched off by train.enabled")
            elif stage == "linear" and not needs_linear(self.config):
                self.say(f"linear   left out: {KINDS[self.config.explore.score].left_out}")
            elif (self.folder / stage / DONE).is_file():
                self.say(f"{stage:8} complete already: {read_done(self.folder / stage)['summary']}")
            else:
                getattr(self, stage)()
            distributed.wait()
            if stage == self.config.until and stage != STAGES[-1]:
                self.say(f"stopped  after {stage}, as until={stage!r} asks")
                return
        if distributed.rank() == 0:
            self.finish()

    def learn(self) -> None:
        folder, options = self.folder / "learn", self.config.learn
        method = self.method()
        steps = trainer.total_steps(options, len(self.splits.train))
        schedule = trainer.cosine(steps, options.warmup)
        seconds = self.fit("learn", method, self.splits.train, self.config.views, options, steps, schedule)
        if distributed.rank() > 0:
            return
        save_tensors(folder / "supernet.safetensors", method.learned.state_dict())
        if method.classifier is not None:
            save_tensors(folder / "classifier.safetensors", method.classifier.state_dict())
        curve = trainer.read_curve(folder)
        rate = steps * options.batch_size * method.num_views / seconds
        loss = f"loss {curve['loss'][0]:.2f} to {curve['loss'][-1]:.2f}"
        trouble = method.trouble()
        summary = f"{steps} steps, {loss}, {rate:.0f} views/s" + (f"; WARNING: {trouble}" if trouble else "")
        self.done("learn", seconds, summary, {"trouble": trouble})

    def linear(self) -> None:
        options = self.config.linear
        torch.manual_seed(self.config.seed)
        network = LinearEvaluation(
            self.space, self.supernet, self.splits.num_classes, self.config.seed, options.batch_norm_images
        )
        steps = trainer.total_steps(options, len(self.splits.train))
        schedule = [dict(type="MultiStepLR", milestones=[max(1, int(steps * m)) for m in options.milestones])]
        seconds = self.fit("linear", network, self.splits.train, options.views, options, steps, schedule)
        if distributed.rank() > 0:
            return
        save_tensors(self.folder / "linear" / "classifier.safetensors", network.fc.state_dict())
        last = trainer.read_curve(self.folder / "linear")["accuracy"][-10:]
        value = sum(last) / len(last)
        self.done("linear", seconds, f"{steps} steps, accuracy of random paths in training {value:.1%}", {})

    def explore(self) -> None:
        folder = self.folder / "explore"
        if distributed.rank() == 0:
            _ = self.study  # made once
        distributed.wait()
        scores = self.explore_paths()
        if distributed.rank() > 0:
            return
        accuracies = {arch: score.accuracy for arch, score in scores.items()}
        effects = main_effects(accuracies, self.space.num_candidates)
        options, size = self.config.explore, self.config.data.image_size
        winner = write_ranking(folder / "ranking.csv", self.space, scores, size, effects, options.rank_by)
        low, high = min(accuracies.values()), max(accuracies.values())
        summary = (
            f"{len(scores)} of {self.space.size} architectures, held-out {KINDS[options.score].name} {low:.1%} to "
            f"{high:.1%}, best {winner}"
        )
        if options.rank_by == "effects":
            trouble = effects.warning()
            summary += " by effects" + (f"; WARNING: {trouble}" if trouble else "")
        matrix = self.similarity(SIMILARITY_IMAGES, SIMILARITY_PATHS)
        write_matrix(folder / "similarity.csv", matrix)
        facts = {"winner": str(winner), "similarity": off_diagonal(matrix), "held_out": len(self.splits.val)}
        self.done("explore", exploration_seconds(self.study), summary, facts)

    def explore_paths(self) -> dict[Arch, Score]:
        """Score candidates until the goal is reached, beside other workers where there are any.

        Raises:
            UserError: Some were scored by consistency of another kind, as an earlier version did, which kept its heads.
        """
        size = self.config.data.image_size
        consistency = self.config.explore.score == "consistency"
        if consistency:
            check_scores(self)

        def latency(arch: Arch) -> float:
            args = {**self.space.model_args(arch), "num_classes": self.splits.num_classes}
            network = timm.create_model(self.space.architecture, **args)
            return latency_ms(network, size, get_device())

        scorer = self.consistency if consistency else self.evaluator
        return explore(self.space, scorer.scores, self.config.explore, self.study, self.config.seed, size, latency)

    def work(self) -> None:
        """Help another process, that runs the stages in this folder or a copy of it, to explore; write nothing else.

        Raises:
            UserError: The stages before are not complete here.
        """
        for stage in ("learn", "linear") if needs_linear(self.config) else ("learn",):
            if not (self.folder / stage / DONE).is_file():
                raise UserError(
                    f"expected a complete {stage} stage in {self.folder}; run the search without --worker first, "
                    "and copy its folder here if it is on another disk"
                )
        if (self.folder / "explore" / DONE).is_file():
            self.say("explore  complete already")
            return
        self.say(f"explore  {len(self.explore_paths())} architectures are scored; the search goes on where it runs")

    def winner(self) -> None:
        if distributed.rank() > 0:
            return
        started = time.perf_counter()
        arch = self.space.parse(read_done(self.folder / "explore")["winner"])
        with self.evaluator.recalibrate(arch):
            state = self.space.export(self.supernet, arch)
        args = {**self.space.model_args(arch), "num_classes": self.splits.num_classes}
        head = on_meta(self.space.architecture, args).pretrained_cfg["classifier"]
        state |= {f"{head}.{key}": value for key, value in self.evaluator.fit(arch).state_dict().items()}
        save_winner(self, "winner", arch, state, {})
        model = self.load("winner")
        value = accuracy(model, self.splits.test, self.views(self.config.views).normalise)
        params_m, flops_g = self.space.cost(arch, self.config.data.image_size)
        summary = f"{arch}, {params_m:.3f} M params, {flops_g:.4f} G multiply-adds, test accuracy {value:.1%} as cut"
        facts = {"test_accuracy": value, "test_images": len(self.splits.test)}
        self.done("winner", time.perf_counter() - started, summary, facts)

    def train(self) -> None:
        options = self.config.train
        images = self.splits.trainval
        batch_size = min(options.batch_size, len(images)) // distributed.world() * distributed.world()
        options = options.model_copy(update={"batch_size": batch_size})
        steps = options.epochs * (len(images) // batch_size)
        torch.manual_seed(self.config.seed)
        model = self.load("winner")
        model.reset_classifier(self.splits.num_classes)  # linear evaluation's rate leaves weights too large to move on
        alone = StandAlone(model, options.label_smoothing, options.compile)
        seconds = self.fit("train", alone, images, options.views, options, steps, trainer.cosine(steps))
        if distributed.rank() > 0:
            return
        normalise = self.views(options.views).normalise
        value = accuracy(model, self.splits.test, normalise)
        arch = self.space.parse(read_done(self.folder / "explore")["winner"])
        save_winner(self, "trained", arch, model.state_dict(), {"test_accuracy": value})
        summary = f"{options.epochs} epochs alone, test accuracy {value:.1%}"
        self.done("train", seconds, summary, {"test_accuracy": value})

    def finish(self) -> None:
        """Report, registry entry, and how to load the winner."""
        from pinas_zoo.search.report.page import write_report

        trained = self.config.train.enabled
        name, folder = f"{self.config.name}_winner", self.folder / ("trained" if trained else "winner")
        value = read_done(self.folder / ("train" if trained else "winner"))["test_accuracy"]
        write_report(self)
        registry.register(name, folder=folder)
        facts = [read_done(self.folder / s) for s in STAGES if (self.folder / s / DONE).is_file()]
        total, peak = sum(f["seconds"] for f in facts), max(f["peak_memory_mib"] for f in facts)
        self.say(f"report   {self.folder / 'report.html'}")
        self.say(f"done     {total:.0f} s in stages, peak memory {peak} MiB\n")
        self.say("import timm, pinas_zoo")
        self.say(f'model = timm.create_model("{name}", pretrained=True)  # test accuracy {value:.2%}')

    # what stages do alike --------------------------------------------------------------------------------------------

    def fit(
        self,
        stage: str,
        network: Method | LinearEvaluation | StandAlone,
        images: ImageSet,
        views: Views,
        options: Learn | Linear | Train,
        steps: int,
        schedule: list[dict[str, Any]],
    ) -> float:
        """Train a stage's network in its folder, going on from the checkpoint there; returns seconds in all."""
        return trainer.train(
            network,
            images,
            self.views(views),
            network.num_views,
            options,
            steps,
            schedule,
            self.folder / stage,
            stage,
            self.config.seed,
            self.config.data.workers,
            self.config.log,
        )

    def done(self, stage: str, seconds: float, summary: str, values: Mapping[str, Any]) -> None:
        """Mark a stage as complete; its checkpoint is not needed any more."""
        facts = {
            "summary": summary,
            "seconds": round(seconds, 2),
            "peak_memory_mib": round(trainer.peak_memory_mb()),
            **values,
        }
        registry.write_json(self.folder / stage / DONE, facts)
        (self.folder / stage / trainer.CHECKPOINT).unlink(missing_ok=True)
        for log in (self.folder / stage).glob("20[0-9][0-9]*_*"):  # the engine's own, a pair an attempt
            shutil.rmtree(log) if log.is_dir() else log.unlink()
        self.say(f"{stage:8} {summary} ({seconds:.0f} s)")

    def load(self, where: str) -> Any:
        return timm.create_model(f"local-dir:{self.folder / where}", pretrained=True)

    @cached_property
    def study(self) -> optuna.Study:
        folder = self.folder / "explore"
        folder.mkdir(parents=True, exist_ok=True)
        storage = self.config.explore.storage
        if not storage:  # the folder's own, which config.json vouches for
            return open_study(storage, folder)
        digest = hashlib.sha256(
            self.config.model_dump_json(
                exclude={"until": True, "log": True, "data": {"workers"}}, exclude_defaults=True
            ).encode()
        ).hexdigest()[:16]
        return open_study(storage, folder, self.config.name, digest)

    def scores(self) -> dict[Arch, Any]:
        """What the study knows, in the order in which architectures were first scored."""
        return known_scores(self.study)


def open_run(folder: Path, stage: str, overrides: Mapping[str, Any] | None = None) -> Run:
    """The run of a folder, for looking at; nothing in the folder is executed and nothing is printed.

    The overrides are for a run with a Python file as space or method, which only the user may name.

    Raises:
        UserError: Not the folder of a run, or one whose ``stage`` is not complete.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"expected the folder of a run, found no config.json in {folder}; `pinas-zoo search` makes one")
    if not (folder / stage / DONE).is_file():
        raise UserError(f"expected a run whose stage {stage} is complete, got {folder}; go on with `pinas-zoo search`")
    return Run(load_config(folder / "config.json", overrides), folder, say=lambda text: None)
