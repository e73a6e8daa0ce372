"""DNA: stages learn alone from the teacher's maps, ratings add up, and traversal equals enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import Images
from pinas_zoo.engine.trainable import Batch
from pinas_zoo.errors import UserError
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.methods.dna import PATIENCE, teacher_levels
from pinas_zoo.search.scorers.block_losses import overlapping
from pinas_zoo.search.scorers.protocol import ScoringData
from pinas_zoo.search.spaces.base import build_space
from tests.golden import seeded_input

SPACES = {
    "resnest50": dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8, subspace=(0, 1, 3)),
    "nasbench201": dict(type="nasbench201", channels=4, cells=1, operations=("nor_conv_1x1", "skip_connect")),
}
TEACHERS = {"resnest50": "test_resnet", "nasbench201": "nasbench201"}
IMAGES = Images(
    torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
    torch.arange(12) % 3,
)


def make(space="resnest50", **options):
    torch.manual_seed(0)
    given = {**dict(teacher=TEACHERS[space], pretrained=False), **options}
    method = build_method("dna", given, build_space(SPACES[space]), 10, 0)
    method.prepare()
    return method.train()


def scorer_of(method, statistics="batch"):
    data = ScoringData(
        method.space, method.supernet, None, 3, IMAGES, IMAGES, lambda x: x.float() / 255, lambda x, g: x, 8, 32, 0,
        statistics,
    )  # fmt: skip
    return method.scorer(data)


def test_a_stage_learns_from_the_teachers_maps_before_and_after_it():
    method, images = make(), seeded_input((4, 1, 3, 64, 64), 0)
    (path,) = method.sample_paths(0)
    with torch.no_grad():
        maps = [images[:, 0], *method.teacher[0](images[:, 0])]
    for k, phase in enumerate(method.phases):
        loss = method.losses(Batch(images, torch.zeros(4)), 0, phase)["loss"]
        x = maps[k] if k == 0 else method.enter[k](maps[k])
        out = method.leave[k](method.supernet.stage(k, x, path))
        torch.testing.assert_close(loss, (out - maps[k + 1]).square().sum() / maps[k + 1].numel())


def test_stages_learn_in_order_each_with_a_rate_of_its_own():
    method = make(stage_lr=0.5, stage_lr_decay=0.1)
    active = [[p.name for p in method.phases if p.is_active(step, 8)] for step in range(8)]
    assert active == [[f"stage{step // 2 + 1}"] for step in range(8)]
    assert [(part["begin"], part["end"]) for p in method.phases for part in p.schedule(8)] == [
        (0, 2), (2, 4), (4, 6), (6, 8)
    ]  # fmt: skip


def test_together_the_loss_is_the_sum_of_the_stages_and_so_are_the_gradients():
    apart, together = make(), make(in_order=False)
    batch = Batch(seeded_input((4, 1, 3, 64, 64), 0), torch.zeros(4))
    total = sum(apart.losses(batch, 0, phase)["loss"] for phase in apart.phases)
    whole = together.losses(batch, 0, together.phases[0])["loss"]
    torch.testing.assert_close(whole, total)
    total.backward()
    whole.backward()
    for p, q in zip(apart.parameters(), together.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            torch.testing.assert_close(p.grad, q.grad)


@pytest.mark.parametrize("statistics", ["batch", "recalibrated"])
@pytest.mark.parametrize("space", SPACES)
def test_a_score_is_the_sum_of_ratings_and_depends_on_no_other_path(space, statistics):
    method = make(space)
    paths = [Arch(c) for c in itertools.islice(itertools.product(*method.space.choices), 0, None, 17)][:4]
    together = scorer_of(method, statistics).scores(paths)
    alone = [scorer_of(method, statistics).scores([path])[0] for path in paths]
    for a, b in zip(together, alone, strict=True):
        assert (a.accuracy, a.loss) == pytest.approx((b.accuracy, b.loss))
        assert a.accuracy == -a.loss
    if statistics == "batch":
        totals = []
        for first, last in ((0, 8), (8, 12)):  # the batches
            x = IMAGES.pixels[first:last].float() / 255
            maps = method.maps(x, range(len(method.leave)))
            with torch.no_grad():
                method.supernet.train()
                ratings = []
                for k in maps:
                    out = method.leave[k](method.supernet.stage(k, maps[k][0], paths[0]))
                    ratings.append(float((out - maps[k][1]).abs().mean() / maps[k][1].std(correction=0)))
            totals.append(sum(ratings) * (last - first))
        assert together[0].loss == pytest.approx(sum(totals) / 12, rel=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_traversal_is_the_sorted_enumeration_within_the_limits(space):
    method = make(space)
    scorer = scorer_of(method)
    paths = [Arch(c) for c in itertools.product(*method.space.choices)]
    losses = {path: score.loss for path, score in zip(paths, scorer.scores(paths), strict=True)}
    flops = sorted(method.space.cost(path, 32)[1] for path in paths)
    params = sorted(method.space.cost(path, 32)[0] for path in paths)
    for limits in ((float("inf"),) * 2, (params[len(paths) // 2], flops[len(paths) // 3])):
        within = [
            path for path in paths if all(c <= m for c, m in zip(method.space.cost(path, 32), limits, strict=True))
        ]
        found = list(scorer.traverse(limits))
        assert set(found) == set(within)
        assert [losses[path] for path in found] == pytest.approx(sorted(losses[path] for path in within))
    scorer.known.clear()
    if space == "resnest50":  # without limits: the best candidate of each stage
        best = next(scorer.traverse())
        for stage, layers in enumerate(method.supernet.stage_layers):
            own = {key: value for key, value in scorer.known.items() if key[0] == stage}
            assert min(own, key=own.get) == (stage, tuple(best[k] for k in layers))


def test_stages_that_share_layers_are_one_part():
    assert overlapping([(0, 1), (2,), (3,)]) == [((0, 1), (0,)), ((2,), (1,)), ((3,), (2,))]
    assert overlapping([(0,), (1,), (0, 1), (2,)]) == [((0, 1), (0, 1, 2)), ((2,), (3,))]


def test_the_teacher_is_neither_saved_nor_trained():
    method = make()
    before = {key: value.clone() for key, value in method.teacher[0].state_dict().items()}
    method.losses(Batch(seeded_input((4, 1, 3, 64, 64), 0), torch.zeros(4)), 0, method.phases[3])["loss"].backward()
    assert all(torch.equal(value, before[key]) for key, value in method.teacher[0].state_dict().items())
    assert not any("teacher" in key for key in method.state_dict())


def test_a_teacher_must_have_the_strides_of_the_stages():
    assert teacher_levels("resnet18", (4, 8, 16, 32)) == ((1, 2, 3, 4), (64, 128, 256, 512))
    assert teacher_levels("vgg11", (1, 2, 4))[1] == (64, 128, 256)
    with pytest.raises(UserError, match="strides 1, 2, 4"):
        make("nasbench201", teacher="test_resnet")
    with pytest.raises(UserError, match="timm model"):
        make(teacher="no_such_network")


def test_a_stage_that_does_not_learn_and_a_random_teacher_are_reported():
    method = make()
    assert "random weights" in method.warning()
    method.pretrained = True
    assert method.warning() is None
    torch.nn.init.constant_(method.leave[1].bias, 100.0)
    for step in range(PATIENCE):
        method.losses(Batch(seeded_input((2, 1, 3, 32, 32), 0), torch.zeros(2)), step, method.phases[1])
    assert "stage 2 learns nothing" in method.warning()
