"""The context that the stages of a run share: configuration, folder, space, images, and the trained supernet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.fixed_views import FixedViews
from pinas_zoo.data.image_record import check_images
from pinas_zoo.data.images import ImageSet, ViewsOptions
from pinas_zoo.data.options import Views
from pinas_zoo.data.splits import Splits, load_splits
from pinas_zoo.engine import distributed
from pinas_zoo.errors import UserError, WeightsMissing
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.config import SearchConfig
from pinas_zoo.search.methods.base import Method, build_method
from pinas_zoo.search.run_folder import DONE, check_folder, read_done, with_streams_of
from pinas_zoo.search.scorers.protocol import ScoringData
from pinas_zoo.search.spaces.base import SearchSpace, Supernet, build_space
from pinas_zoo.search.spaces.resized import resized_space
from pinas_zoo.weights.tensors import load_state, tensor_shapes

Say = Callable[[str], None]


@dataclass(frozen=True)
class Context:
    """The context of a run. It is immutable; images and the supernet are loaded on first access.

    Attributes:
        config: Configuration of the run.
        folder: Folder of the run.
        space: Search space of the configuration.
        say: Function that receives one-line messages; it does nothing in processes other than the first.
    """

    config: SearchConfig
    folder: Path
    space: SearchSpace
    say: Say

    @classmethod
    def of(cls, config: SearchConfig, folder: Path, say: Say = print) -> Context:
        """Build a context. Of the folder, only ``config.json`` is read.

        Raises:
            UserError: The space is invalid, or the folder contains a run with another configuration.
        """
        space = build_space(config.space)
        zero_cost_space(config)  # raises an error for wrong keys
        check_folder(config, folder)
        config = with_streams_of(config, folder)
        return cls(config, folder, space, say if distributed.rank() == 0 else lambda text: None)

    @cached_property
    def splits(self) -> Splits:
        """The images by split: training, held-out and test.

        Raises:
            UserError: The images cannot be read or split as configured, or are not those that the run began with.
        """
        splits = load_splits(self.config.data, self.config.seed, self.config.streams)
        size = self.config.data.image_size
        self.say(
            f"data     {len(splits.train)} training, {len(splits.val)} held-out and {len(splits.test)} test images "
            f"of {size} x {size} pixels in {splits.num_classes} classes"
        )
        for note in splits.notes:
            self.say(f"note     {note}")
        check_images(self.folder, splits.record, write=False)
        return splits

    def record_images(self) -> None:
        """Record in the run's folder which images it uses, unless it has a record, with which they are compared.

        Raises:
            UserError: They are not those of the record.
        """
        check_images(self.folder, self.splits.record, write=distributed.rank() == 0)

    @cached_property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of pixels in 0..1, from the configuration or measured on training images."""
        data = self.config.data
        if data.mean is not None and data.std is not None:
            return data.mean, data.std
        return self.splits.normalisation()

    def views(self, options: Views) -> BatchViews:
        """Augmentation with these options, followed by the run's normalisation."""
        return BatchViews(options, *self.normalisation)

    def method(self) -> Method:
        """Build the method, freshly initialised from the run's seed."""
        learn = self.config.learn
        torch.manual_seed(self.config.seed)
        classes, seed, size = self.splits.num_classes, self.config.seed, self.config.data.image_size
        return build_method(learn.method, learn.options, self.space, classes, seed, size)

    @cached_property
    def supernet(self) -> Supernet | None:
        """The supernet that the learn stage trained; None if there is none.

        Raises:
            WeightsError: The file is damaged, of another space, or holds NaN.
        """
        path = self.folder / "learn" / "supernet.safetensors"
        if not path.is_file():
            return None
        supernet = self.space.supernet()
        load_state(supernet, path)
        return supernet

    def trained_supernet(self) -> Supernet:
        """The supernet that the learn stage trained, for those that cannot do without.

        Raises:
            WeightsError: The file is missing, damaged, of another space, or holds NaN.
        """
        if self.supernet is None:
            path = self.folder / "learn" / "supernet.safetensors"
            raise WeightsMissing(
                f"expected the supernet in {path}, found none; delete {path.parent / DONE} to learn it again"
            )
        return self.supernet

    @property
    def classifier(self) -> nn.Linear | None:
        """The classifier that all paths share, from the linear stage or the method; None if there is neither.

        Raises:
            WeightsError: The file is damaged, of other features or classes, or holds NaN.
        """
        for stage in ("linear", "learn"):
            path = self.folder / stage / "classifier.safetensors"
            if path.is_file():
                features = None if self.supernet is None else self.supernet.num_features
                if features is None:  # of a method that keeps no supernet
                    features = tensor_shapes(path).get("weight", (0, 0))[-1]
                classifier = nn.Linear(features, self.splits.num_classes)
                load_state(classifier, path)
                return classifier
        return None

    def explored_winner(self) -> Arch:
        """The architecture that the explore stage selected.

        Raises:
            UserError: ``done.json`` of the stage names none of this space.
        """
        done = self.folder / "explore" / DONE
        found = read_done(done.parent).get("winner")
        try:
            return self.space.parse(found or "")
        except ValueError as error:
            raise UserError(
                f"expected a winner of this space in {done}, got {found!r} ({error}); delete the file to rank anew"
            ) from None

    def scoring_data(self) -> ScoringData:
        """The data from which scorers are built."""
        options = self.config.explore
        held_out: ImageSet = self.splits.val
        if options.held_out_images is not None and options.held_out_images < len(held_out):
            rng = step_rng(self.config.seed, 0, Stream.SCORED_IMAGES)
            held_out = held_out.subset(rng.permutation(len(held_out))[: options.held_out_images])
        views = self.views(options.views)
        return ScoringData(
            space=self.space,
            supernet=self.supernet,
            classifier=self.classifier,
            num_classes=self.splits.num_classes,
            recalibration=self.recalibration(),
            held_out=held_out,
            normalise=self.views(self.config.views).normalise,
            two_views=lambda pixels, generator: views(pixels, generator, 2),
            batch_size=options.batch_size,
            image_size=self.config.data.image_size,
            seed=self.config.seed,
            statistics=options.statistics,
            view_stream=Stream.CONSISTENCY_VIEWS if self.config.streams > 1 else Stream.SPLIT,
            recalibration_batch_size=options.recalibration_batch_size,
            zero_cost_images=options.zero_cost_images,
            zero_cost_initialisations=options.zero_cost_initialisations,
            zero_cost_space=zero_cost_space(self.config),
        )

    def recalibration(self) -> ImageSet | FixedViews:
        """A fixed random subset of the training images, of which ``explore.recalibration_views`` may make views."""
        options, seed = self.config.explore, self.config.seed
        order = step_rng(seed, 0, Stream.RECALIBRATION).permutation(len(self.splits.train))
        images = self.splits.train.subset(order[: options.recalibration_images])
        if options.recalibration_views is None:
            return images
        drawn = ViewsOptions(options.recalibration_views, 1, seed, Stream.RECALIBRATION_VIEWS)
        return FixedViews(images, drawn, self.config.data.workers)


def zero_cost_space(config: SearchConfig) -> SearchSpace | None:
    """The space whose networks scores without a supernet take, if it is another (``explore.zero_cost_space``).

    Raises:
        UserError: It has other architectures than ``space``, or does not accept a key.
    """
    if not config.explore.zero_cost_space:
        return None
    try:
        return resized_space(config.space, config.explore.zero_cost_space)
    except UserError as error:
        raise UserError(f"explore.zero_cost_space: {error}") from None
