"""Which architectures a study trains."""

from __future__ import annotations

from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.trained_study.architectures import RANDOM, studied
from pinas_zoo.search.trained_study.config import find_study, load_study
from pinas_zoo.search.trained_study.jobs import Study
from tests.search.trained_study.tiny_study import write_config

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


def test_references_take_the_room_that_the_count_leaves():
    space = build_space({"type": "nasbench201"})
    best = {"spos": space.parse("444444")}
    update = {"methods": {"spos": {}}, "count": 3, "architectures": ("222222", "333333")}
    config = CONFIG.model_copy(update=update)
    assert [str(one.arch) for one in studied(config, space, best)] == ["222222", "333333", "444444"]
    config = config.model_copy(update={"count": 4})
    assert studied(config, space, best)[0].origin == "reference resnet"
    resnet = str(space.references()["resnet"])
    config = config.model_copy(update={"count": 3, "architectures": ("222222", resnet)})  # no room of its own
    assert [one.origin for one in studied(config, space, best)] == [
        "reference resnet, listed",
        "listed",
        "best of spos",
    ]


def test_the_list_of_a_study_that_was_begun_without_references_stays():
    space = build_space({"type": "nasbench201"})
    resnet, best = str(space.references()["resnet"]), dict.fromkeys(CONFIG.methods, space.parse("444444"))
    new = [str(one.arch) for one in studied(CONFIG, space, best)]
    old = [str(one.arch) for one in studied(CONFIG, space, best, begun=["222222"])]
    assert new[0] == resnet
    assert resnet not in old
    assert set(new) - {resnet} < set(old)
    assert len(new) == len(old) == CONFIG.count
    assert [str(one.arch) for one in studied(CONFIG, space, best, old)] == old
    assert [str(one.arch) for one in studied(CONFIG, space, best, new[:1])] == new


def test_a_folder_says_whether_a_study_was_begun_without_references(tmp_path):
    more = 'space = dict(type="nasbench201")\narchitectures = ()\ncount = 4\n'
    study = Study(load_study(write_config(tmp_path, more)), tmp_path / "run", print)
    first = study.architectures()
    assert first[0].origin == "reference resnet"
    (tmp_path / "run" / "trained" / str(first[1].arch)).mkdir(parents=True)
    assert {one.origin for one in study.architectures()} == {RANDOM}
    (tmp_path / "run" / "trained" / str(first[0].arch)).mkdir()
    assert study.architectures() == first


def test_a_space_may_be_studied_whole():
    config = CONFIG.model_copy(update={"count": 64})
    space = build_space({"type": "nasbench201", "operations": ("nor_conv_1x1", "nor_conv_3x3")})
    best = dict.fromkeys(CONFIG.methods, space.parse("010101"))
    assert len(studied(config, space, best)) == space.size == 64
