"""Which architectures a study trains."""

from __future__ import annotations

from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.trained_study.architectures import RANDOM, studied
from pinas_zoo.search.trained_study.config import find_study, load_study

CONFIG = load_study(find_study("cifar10"))
SPACE = build_space(CONFIG.space)


def test_the_list_begins_the_same_whatever_the_supernets_find():
    first = studied(CONFIG, SPACE, {})
    assert [one.origin for one in first] == ["reference resnest"] + [RANDOM] * 9
    one, other = SPACE.parse("000000"), SPACE.parse("333333")
    whole = studied(CONFIG, SPACE, {"pinas": one, "spos": other, "fairnas": one})
    assert whole[:10] == first
    assert [str(one.arch) for one in whole[10:12]] == ["000000", "333333"]
    assert [one.origin for one in whole[10:]] == ["best of pinas, best of fairnas", "best of spos", RANDOM]
    assert len({one.arch for one in whole}) == 13
    assert studied(CONFIG, SPACE, {"pinas": one}) == first  # two supernets are missing


def test_a_best_one_that_is_in_the_list_is_named_there():
    best = dict.fromkeys(CONFIG.methods, SPACE.parse("111111"))
    whole = studied(CONFIG, SPACE, best)
    assert whole[0].origin == "reference resnest, best of pinas, best of spos, best of fairnas"
    assert [one.origin for one in whole[1:]] == [RANDOM] * 12


def test_another_seed_draws_others():
    other = CONFIG.model_copy(update={"seed": 1})
    assert {one.arch for one in studied(CONFIG, SPACE, {})[1:]} != {one.arch for one in studied(other, SPACE, {})[1:]}
    assert studied(CONFIG, SPACE, {}) == studied(CONFIG, SPACE, {})


def test_a_space_may_be_studied_whole():
    config = CONFIG.model_copy(update={"count": 64})
    space = build_space({"type": "nasbench201", "operations": ("nor_conv_1x1", "nor_conv_3x3")})
    best = dict.fromkeys(CONFIG.methods, space.parse("010101"))
    assert len(studied(config, space, best)) == space.size == 64
