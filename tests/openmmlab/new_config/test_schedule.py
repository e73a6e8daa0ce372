"""Numbers that fit a data set, compared with those of the recipes."""

from __future__ import annotations

import pytest

pytest.importorskip("mmdet")
from pinas_zoo.openmmlab.new_config.schedule import detector_scales, schedule, segmenter_sizes
from pinas_zoo.openmmlab.new_config.splits import hold_out


def test_the_recipes_come_out_for_the_recipes_data() -> None:
    coco = schedule("det", 118_287, batch_size=16)
    assert (coco.lr, coco.warm_up) == (0.02, 1000)
    assert coco.iterations == pytest.approx(90_000, rel=0.02)
    ade20k = schedule("seg", 20_210, batch_size=16)
    assert ade20k.lr == 0.01
    assert ade20k.iterations == pytest.approx(151_560, rel=0.01)
    scales, test_scale = detector_scales([(640, 480)] * 3)
    assert ([side for _, side in scales], test_scale) == ([640, 672, 704, 736, 768, 800], (1333, 800))
    assert segmenter_sizes([(2048, 1024)]) == (2048, 768)


def test_small_sets_and_small_batches() -> None:
    small = schedule("det", 30)
    assert small.batch_size * small.iterations == 16_000
    assert small.lr == 0.005
    assert 0 < small.warm_up < small.iterations
    assert schedule("det", 30, iterations=1).interval == 1
    scales, test_scale = detector_scales([(100, 80)])
    assert scales[-1] == test_scale == (533, 320)
    for size in [(40, 30), (300, 200), (683, 512), (6000, 4000)]:
        side, crop = segmenter_sizes([size])
        assert 64 <= crop <= max(64, side) <= 2048


def test_no_class_loses_its_last_image() -> None:
    one_each = {f"{k}.jpg": {k} for k in range(10)}
    train, val = hold_out(one_each)
    assert (len(train), len(val)) == (9, 1)  # at least one image is held out
    shared = {**one_each, "all.jpg": set(range(10))}
    assert hold_out(shared)[1] == ["all.jpg"] or {k for n in hold_out(shared)[0] for k in shared[n]} == set(range(10))
    assert hold_out({"a.jpg": {1}}) == (["a.jpg"], ["a.jpg"])
