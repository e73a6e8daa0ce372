"""The linear stage against its rules written in a few lines, in fp64: sec. 4.1, and the released code's settings."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.images import Images
from pinas_zoo.engine.curve import read_curve
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.engine.trainer import train
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.config import Linear
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from pinas_zoo.search.stages.linear import LinearEvaluation, decay
from pinas_zoo.search.stages.result import total_steps

SPACE = ResNeSt50Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
EPOCHS, BATCH, GROUP, IMAGES, CLASSES, SEED = 10, 8, 4, 16, 5, 3  # 20 steps


class Recorded(LinearEvaluation):
    """Keeps the batches that it was trained with."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.batches: list[Batch] = []

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        self.batches.append(batch)
        return super().losses(batch, step, phase)


def trained_supernet() -> nn.Module:
    """A supernet whose blocks differ and whose running statistics are not those of any batch."""
    torch.manual_seed(0)
    supernet = SPACE.supernet()
    with torch.no_grad():
        for module in supernet.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.running_mean.normal_()
    return supernet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("linear")
    supernet = trained_supernet().double()
    frozen = copy.deepcopy(supernet)
    network = Recorded(SPACE, supernet, CLASSES, SEED, GROUP).double()
    start = copy.deepcopy(network.fc)
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (IMAGES, 3, 32, 32), generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.arange(IMAGES) % CLASSES)
    options = Linear(epochs=EPOCHS, batch_size=BATCH, log_every=1)
    steps = total_steps(options, IMAGES)
    views = BatchViews(options.views, (0.5,) * 3, (0.25,) * 3).double()
    train(network, {"train": images}, views, options, steps, decay(options, steps), folder, "linear", SEED)
    return network, frozen, start, folder


def rate(step: int) -> float:
    """30, divided by 10 after 60 and after 80 of 100 epochs, which are 6 and 8 of 10."""
    epoch = step // (IMAGES // BATCH)
    return 30 * 0.1 ** ((epoch >= 6) + (epoch >= 8))


def test_the_rate_falls_after_60_and_80_percent_of_the_epochs(run):
    assert read_curve(run[3])["lr"] == pytest.approx([rate(step) for step in range(20)])


@pytest.mark.parametrize("images", [1_231_167, 1_281_167, 50_000])
def test_milestones_of_100_epochs_are_at_whole_epochs(images):
    options = Linear(epochs=100)
    steps = total_steps(options, images)
    assert decay(options, steps)[0]["milestones"] == [60 * (steps // 100), 80 * (steps // 100)]


def test_the_classifier_is_that_of_plain_gradient_descent(run):
    """SGD with momentum 0.9 and no weight decay, on features of a random path per step with batch statistics."""
    network, frozen, start, _ = run
    weight, bias = start.weight.detach().clone(), start.bias.detach().clone()
    speed, bias_speed = torch.zeros_like(weight), torch.zeros_like(bias)
    paths = set()
    for step, batch in enumerate(network.batches):
        assert batch.views.dtype == torch.float64
        (path,) = SPACE.sample(step_rng(SEED, step, Stream.LINEAR_PATHS))
        paths.add(path)
        with torch.no_grad():  # a copy in training mode: its running statistics may change
            groups = batch.views[:, 0].split(GROUP)
            features = torch.cat([copy.deepcopy(frozen).train()(part, path) for part in groups])
        slope = (features @ weight.T + bias).softmax(1)
        slope[torch.arange(BATCH), batch.labels] -= 1
        speed = 0.9 * speed + slope.T @ features / BATCH
        bias_speed = 0.9 * bias_speed + slope.mean(0)
        weight, bias = weight - rate(step) * speed, bias - rate(step) * bias_speed
    assert len(network.batches) == 20
    assert len(paths) > 10
    assert (weight - start.weight).norm() > start.weight.norm()
    torch.testing.assert_close(network.fc.weight.detach(), weight, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(network.fc.bias.detach(), bias, rtol=1e-8, atol=1e-8)


def test_weights_and_running_statistics_of_the_supernet_stay(run):
    network, frozen, _, _ = run
    after = network.supernet.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in frozen.state_dict().items())


def test_the_classifier_starts_as_the_released_code_s():
    torch.manual_seed(0)
    network = LinearEvaluation(SPACE, SPACE.supernet(), 1000, SEED)
    weight = network.fc.weight.detach()
    assert weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs(weight.mean().item()) < 4 * 0.01 / weight.numel() ** 0.5
    assert not network.fc.bias.any()
