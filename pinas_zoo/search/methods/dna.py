"""DNA, block-wise distillation (Li et al., CVPR 2020): each stage of the supernet imitates one of a pretrained teacher.

A stage takes the teacher's map before it, runs one random path, and is compared with the teacher's map after it. Stages
therefore learn independently, and no labels are used::

    learning   mean squared error   |Y - Y'|^2 / K           K: elements of the teacher's map Y
    rating     relative L1          |Y - Y'|_1 / (K σ(Y))    σ: standard deviation of Y; comparable across stages

Stages are learned in order, in equal parts of the steps. The score of a path is the sum of its stages' ratings on
held-out images. ``explore.sampler="traversal"`` then finds the best paths of the whole space within the limits,
exactly. Without limits it selects the best path of each stage, as sec. 4.2 of the Π-NAS paper does.

Adam's rate of 0.002, which is multiplied by 0.9 in each of 20 epochs, is our choice for all stages. The released code
has no licence and was not read. What differs here:

- The widths of this supernet are given, so 1x1 convolutions adapt the teacher's maps to them and back. They learn with
  their stage, and all paths share them.
- Sub-paths are measured one by one. The paper shares the computation of common beginnings.
- In NAS-Bench-201 all stages repeat one cell. They still learn independently, but a path is one choice for all, so
  traversal means that every architecture of the subspace is measured.

The teacher sees the images as this run normalises them: give its ``data.mean`` and ``data.std``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine.precision import at_least_fp32
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.base import Method
from pinas_zoo.search.scorers.block_losses import BlockLossScorer
from pinas_zoo.search.scorers.protocol import Scorer, ScoringData
from pinas_zoo.search.spaces.base import SearchSpace, Supernet
from pinas_zoo.weights.entry_points import WRONG_ARGUMENTS

PATIENCE = 100  # consecutive updates of a stage without progress before a warning


class DNAMethod(Method):
    """DNA.

    Args:
        space: The search space. Its supernet must have stages.
        num_classes: Not used.
        seed: Seed from which the path of each step derives.
        teacher: timm's name of the teacher, which must have maps of the strides of the supernet's stages. None:
            EfficientNet-B7 as in the paper, or VGG-16 where the supernet's first stage has stride 1.
        pretrained: Whether the teacher gets its pretrained weights. A random teacher is of use only in tests.
        stage_lr: Learning rate of Adam at the start of each stage. ``learn.lr`` does not apply.
        stage_lr_decay: Learning rate at the end of a stage as a multiple of the first. The default is 0.9^20.
        in_order: Whether stages learn one after the other. False: all of them in each step, which needs one pass of the
            teacher instead of one for each stage.

    Raises:
        ValueError: The supernet has no stages, the teacher is unknown or does not fit, or a rate is out of range.
    """

    title = "DNA"
    scores_paths = True
    sums_stages = True
    stuck: torch.Tensor

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int = 0,
        seed: int = 0,
        teacher: str | None = None,
        pretrained: bool = True,
        stage_lr: float = 0.002,
        stage_lr_decay: float = 0.9**20,
        in_order: bool = True,
    ):
        super().__init__()
        if not 0 < stage_lr < math.inf or not 0 < stage_lr_decay <= 1:
            raise ValueError(
                f"expected stage_lr above 0 and stage_lr_decay in 0..1, got {stage_lr} and {stage_lr_decay}"
            )
        self.space, self.seed, self.pretrained = space, seed, pretrained
        self.supernet = space.supernet()
        strides = self.supernet.stage_strides
        if not strides:
            raise ValueError("expected a space whose supernet has stages that run alone; try another method")
        self.teacher_name = teacher or ("vgg16_bn" if 1 in strides else "tf_efficientnet_b7")
        self.levels, widths = teacher_levels(self.teacher_name, strides)
        pairs = list(zip(widths, self.supernet.stage_channels, strict=True))  # channels of teacher and supernet
        self.enter = nn.ModuleList([nn.Identity(), *(nn.Conv2d(theirs, ours, 1) for theirs, ours in pairs[:-1])])
        self.leave = nn.ModuleList(nn.Conv2d(ours, theirs, 1) for theirs, ours in pairs)
        adam = dict(type="Adam", lr=stage_lr)
        count = len(strides)
        if in_order:
            self.phases = tuple(
                Phase(f"stage{k + 1}", optim=adam, start=k / count, stop=(k + 1) / count, final_lr=stage_lr_decay)
                for k in range(count)
            )
        else:
            self.phases = (Phase("stages", optim=adam, final_lr=stage_lr_decay),)
        learned = {id(p) for phase in self.phases for p in self.parameters_of(phase)}
        for p in self.parameters():
            p.requires_grad_(id(p) in learned)  # what follows the last stage has no teacher
        self.register_buffer("stuck", torch.zeros(count, dtype=torch.long))

    @property
    def learned(self) -> Supernet:
        return self.supernet

    def stages_of(self, phase: Phase) -> list[int]:
        """The stages that a phase learns."""
        return [self.phases.index(phase)] if len(self.phases) > 1 else list(range(len(self.leave)))

    def parameters_of(self, phase: Phase) -> list[nn.Parameter]:
        found: list[nn.Parameter] = []
        for k in self.stages_of(phase):
            found += [*self.enter[k].parameters(), *self.leave[k].parameters()]
            prefixes = self.supernet.stage_prefixes[k]
            found += [p for name, p in self.supernet.named_parameters() if name.startswith(prefixes)]
        return found

    def prepare(self) -> None:
        """Create the teacher. It is neither trained nor saved, so it is no submodule."""
        teacher = timm.create_model(
            self.teacher_name, pretrained=self.pretrained, features_only=True, out_indices=self.levels
        )
        self.teacher = [teacher.eval().requires_grad_(False).to(self.stuck.device)]

    def sample_paths(self, step: int) -> list[Arch]:
        """The single path of a step, sampled uniformly."""
        return self.space.sample(step_rng(self.seed, step, Stream.LEARN_PATHS))

    def maps(self, images: torch.Tensor, stages: Sequence[int]) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        """Input and target of some stages for images N x C x H x W; inputs have the supernet's channels."""
        with torch.no_grad():
            after = self.teacher[0](images)
        before = [images, *after[:-1]]
        return {k: (self.enter[k](before[k]), after[k]) for k in stages}

    def output(self, stage: int, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """A stage's map in the teacher's channels, and in its size where rounding of strides makes them differ."""
        out = at_least_fp32(self.leave[stage](x))
        height, width = target.shape[-2:]
        return out if out.shape[-2:] == target.shape[-2:] else F.adaptive_avg_pool2d(out, (height, width))

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """The sum of the mean squared errors of the phase's stages, along one random path."""
        images = batch.views.squeeze(1)  # N x C x H x W
        (path,) = self.sample_paths(step)
        stages = self.stages_of(phase)
        losses, maps = [], self.maps(images, stages)
        for k in stages:
            x, target = maps[k][0], at_least_fp32(maps[k][1])
            losses.append(F.mse_loss(self.output(k, self.supernet.stage(k, x, path), target), target))
            useless = losses[-1].detach() >= target.var(correction=0)  # no better than the mean of the map
            self.stuck[k] = torch.where(useless, self.stuck[k] + 1, 0)
        return {"loss": torch.stack(losses).sum()}

    def rating(self, stage: int, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The relative L1 error of a stage's output."""
        target = at_least_fp32(target)
        return (self.output(stage, x, target) - target).abs().mean() / target.std(correction=0)

    def scorer(self, data: ScoringData) -> Scorer:
        stages = range(len(self.leave))
        return BlockLossScorer(
            self.supernet,
            lambda images: [self.maps(images, stages)[k] for k in stages],
            self.rating,
            data,
            self.stuck.device,
        )

    def warning(self) -> str | None:
        late = [str(k + 1) for k, count in enumerate(self.stuck.tolist()) if count >= PATIENCE]
        if late:
            return (
                f"stage {', '.join(late)} learns nothing: its error has been that of the mean of the teacher's map for "
                "the last updates, so scores will mean little; try a lower stage_lr, or data.mean and data.std of the "
                "teacher"
            )
        return None if self.pretrained else "the teacher has random weights, so scores mean little; use pretrained=True"


def teacher_levels(name: str, strides: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find the teacher's last map of each stride, without weights.

    Returns:
        Indices of the maps and their channels.

    Raises:
        ValueError: The teacher is unknown, or lacks a stride.
    """
    try:
        with torch.device("meta"):
            teacher: Any = timm.create_model(name, pretrained=False, features_only=True)
        info = teacher.feature_info
        reductions, channels = list(info.reduction()), list(info.channels())
        indices = [int(k) for k in info.out_indices]
    except (*WRONG_ARGUMENTS, OSError) as error:  # OSError: a folder that is not there
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"expected teacher as a timm model with features_only, got {name!r}: {said}") from error
    places = {stride: place for place, stride in enumerate(reductions)}  # the last one of a stride
    missing = [stride for stride in strides if stride not in places]
    if missing:
        raise ValueError(
            f"expected a teacher with maps of strides {', '.join(map(str, strides))}, got {name!r} with "
            f"{', '.join(map(str, reductions))}; try "
            + ("vgg16_bn" if 1 in missing else "a convolutional network such as resnet50")
        )
    return tuple(indices[places[s]] for s in strides), tuple(channels[places[s]] for s in strides)
