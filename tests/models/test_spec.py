"""A network specification is valid or is not made, and says the same as the network."""

from __future__ import annotations

import random
from dataclasses import FrozenInstanceError, replace

import pytest

from pinas_zoo.arch import Arch
from pinas_zoo.models.blocks import CANDIDATES, PiNASBlock, SplitAttention, attention_width, layer_specs
from pinas_zoo.models.pinas import PiNAS, spec_of
from pinas_zoo.models.spec import NetworkSpec

TINY = dict(depths=(1, 1, 1, 1), widths=(16, 32, 64, 128), stem_width=8)


def random_spec(seed: int) -> NetworkSpec:
    rng = random.Random(seed)
    depths = [rng.randint(1, 3) for _ in range(4)]
    return NetworkSpec(
        [rng.randrange(4) for _ in range(sum(depths))],
        depths=depths,
        widths=[rng.choice((16, 32, 64, 96)) for _ in range(4)],
        stem_width=rng.choice((4, 8, 32)),
        num_classes=rng.choice((0, 7, 1000)),
        in_chans=rng.choice((1, 3, 4)),
        output_stride=rng.choice((8, 16, 32)),
        global_pool=rng.choice(("avg", "catavgmax")),
    )


@pytest.mark.parametrize("seed", range(12))
def test_arguments_and_model_give_the_specification_back(seed):
    spec = random_spec(seed)
    assert NetworkSpec.from_args(spec.to_args()) == spec
    assert NetworkSpec.from_model(PiNAS(**spec.to_args(), device="meta")) == spec
    assert spec_of("pinas", {**spec.to_args(), "drop_rate": 0.1}) == spec
    assert len(spec.layers()) == len(spec.arch)


def test_it_is_a_value():
    spec = NetworkSpec("0123", **TINY)
    assert spec == NetworkSpec((0, 1, 2, 3), **{**TINY, "depths": [1, 1, 1, 1]})
    assert hash(spec) == hash(replace(spec))
    assert isinstance(spec.arch, Arch)
    with pytest.raises(FrozenInstanceError):
        spec.num_classes = 3
    with pytest.raises(ValueError, match="4 layers"):
        replace(spec, arch="012")


def test_papers_size():
    assert NetworkSpec("0" * 16, num_classes=10, in_chans=1).is_papers_size()
    assert not NetworkSpec("0" * 16, output_stride=8).is_papers_size()
    assert not NetworkSpec("0123", **TINY).is_papers_size()


def test_other_spaces_have_none_and_names_fix_their_arch():
    assert spec_of("nasbench201", {"arch": "234012"}) is None
    assert spec_of("resnet50", {}) is None
    assert spec_of("pinas_cls", {}) == spec_of("pinas_alpha", {}) == NetworkSpec("3013231203213032")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"depths": (1, 1, 1)}, "four stages"),
        ({"depths": "1111"}, "depths as positive whole numbers"),
        ({"depths": (1, 1, 1, 0)}, "depths as positive whole numbers"),
        ({"widths": None}, "widths as positive whole numbers"),
        ({"widths": (16, 32, 64, 17)}, "groups divide"),
        ({"stem_width": 0}, "stem_width of at least 1"),
        ({"stem_width": True}, "stem_width"),
        ({"num_classes": "many"}, "num_classes as a whole number"),
        ({"num_classes": 2.0}, "num_classes"),
        ({"output_stride": 12}, "8, 16 or 32"),
        ({"global_pool": 3}, "global_pool"),
        ({"arch": "0124"}, "candidates 0 to 3"),
    ],
)
def test_what_describes_no_network_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        NetworkSpec(**{"arch": "0123", **TINY, **change})


def test_one_attention_width_for_candidate_and_module():
    for layer in layer_specs():
        for candidate in CANDIDATES:
            block = PiNASBlock(layer, candidate, device="meta")
            assert isinstance(block.conv2, SplitAttention)
            width = candidate.attention_width(layer.planes)
            assert block.conv2.fc1.out_channels == width == attention_width(block.conv2.channels, candidate.radix)
