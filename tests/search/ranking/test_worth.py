"""Whether a search was worth it: intervals of differences, and the sentence that they give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pinas_zoo.errors import UserError
from pinas_zoo.search.ranking.trained_rows import (
    Role,
    TrainedRow,
    read_table,
    read_training,
    write_table,
    write_training,
)
from pinas_zoo.search.ranking.worth import sentence, verdicts, welch


def rows(role: Role, arch: str, accuracies: list[float], flops_g: float = 1.0) -> list[TrainedRow]:
    return [
        TrainedRow(
            role=role, arch=arch, params_m=1.0, flops_g=flops_g, seed=seed, test_accuracy=value, test_images=1000,
            seconds=1.0,
        )
        for seed, value in enumerate(accuracies)
    ]  # fmt: skip


WINNER = rows("winner", "0000", [0.95, 0.96, 0.955])
ALIKE = rows("reference", "1111", [0.94, 0.97, 0.955])
WORSE = [row for k in range(4) for row in rows("random", f"000{k + 1}", [0.80 + 0.01 * k, 0.81])]
WORSE3 = [row for k in range(4) for row in rows("random", f"000{k + 1}", [0.80 + 0.01 * k, 0.81, 0.79 - 0.01 * k])]
BETTER = [row for k in range(4) for row in rows("random", f"000{k + 1}", [0.98, 0.99 - 0.001 * k])]


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_is_that_of_scipys_welch_test(seed):
    rng = np.random.default_rng(seed)
    first, second = (rng.normal(rng.random(), rng.random(), size=rng.integers(2, 8)).tolist() for _ in range(2))
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = welch(first, second)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_two_networks_with_the_same_seeds_are_compared_by_the_paired_test(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, int(rng.integers(2, 8)))).tolist()
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    (verdict,) = verdicts([row.model_copy(update={"test_images": 10**9}) for row in rows("winner", "0", first)
                           + rows("reference", "1", second)])  # fmt: skip
    found = verdict.difference
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)


def test_what_a_seed_does_to_all_networks_widens_no_interval():
    moved = [row.model_copy(update={"test_accuracy": row.test_accuracy - 0.3 * (row.seed == 1)})
             for row in WINNER + ALIKE + WORSE3]  # fmt: skip
    before, after = verdicts(WINNER + ALIKE + WORSE3), verdicts(moved)
    for one, other in zip(before, after, strict=True):
        assert other.difference.low == pytest.approx(one.difference.low, abs=1e-9)
        assert other.difference.high == pytest.approx(one.difference.high, abs=1e-9)
    apart = [row.model_copy(update={"seed": row.seed + 7}) if row.role == "winner" else row for row in WINNER + ALIKE]
    (verdict,) = verdicts(apart)  # other seeds, nothing to pair
    alone = welch([0.95, 0.96, 0.955], [0.94, 0.97, 0.955], 1e-3)
    assert (verdict.difference.low, verdict.difference.high) == (alone.low, alone.high)


def test_paired_intervals_hold_the_true_difference_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = np.zeros(2)
    for _ in range(1000):
        seeds, true = rng.normal(0, 0.02, 3), rng.normal(0.8, 0.03, 6)  # of random networks, whose mean is 0.8
        true[:2] = 0.86, 0.85
        found = true[:, None] + seeds + rng.normal(0, 0.01, (6, 3))
        roles: list[Role] = ["winner", "reference", "random", "random", "random", "random"]
        made = [rows(role, str(k), found[k].tolist()) for k, role in enumerate(roles)]
        one, other = (
            v.difference for v in verdicts([r.model_copy(update={"test_images": 10**6}) for m in made for r in m])
        )
        hits += one.low <= 0.01 <= one.high, other.low <= 0.06 <= other.high
    assert (hits / 1000 > 0.93).all()
    assert (hits / 1000 < 0.97).all()


@pytest.mark.parametrize("others", [0.002, 0.04])
def test_intervals_hold_where_other_networks_are_more_or_less_noisy(others):
    rng = np.random.default_rng(0)
    hits = np.zeros(2)
    for _ in range(600):
        seeds, true = rng.normal(0, 0.02, 3), rng.normal(0.8, 0.03, 6)
        true[:2] = 0.86, 0.85
        noise = rng.normal(0, 1, (6, 3)) * np.array([0.01, 0.01, *[others] * 4])[:, None]
        roles: list[Role] = ["winner", "reference", "random", "random", "random", "random"]
        found = [rows(role, str(k), (true[k] + seeds + noise[k]).tolist()) for k, role in enumerate(roles)]
        one, other = (v.difference for v in verdicts([row for some in found for row in some]))
        hits += one.low <= 0.01 <= one.high, other.low <= 0.06 <= other.high
    assert (hits / 600 > 0.92).all()
    assert hits[0] / 600 < 0.98  # the mean of noisy networks counts twice, so that its interval is wider


def test_a_bad_random_network_does_not_hide_a_clear_result():
    """Nor do stable ones make a result that two noisy networks do not give."""
    clear = rows("winner", "0", [0.97, 0.971, 0.969]) + rows("reference", "1", [0.95, 0.951, 0.949])
    alone, beside = (verdicts(clear + more)[0].difference for more in ([], rows("random", "2", [0.96, 0.10, 0.95])))
    assert alone == beside
    assert alone.told
    noisy = rows("winner", "0", [0.97, 0.93, 0.95]) + rows("reference", "1", [0.92, 0.95, 0.93])
    stable = [row for k in range(16) for row in rows("random", f"2{k}", [0.92, 0.92, 0.92])]
    against_reference, against_random = verdicts(noisy + stable)
    assert not against_reference.difference.told
    assert not against_random.difference.told


def test_an_interval_holds_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        found = welch(rng.normal(0.9, 0.01, 3).tolist(), rng.normal(0.88, 0.03, 5).tolist())
        hits += found.low <= 0.02 <= found.high
    assert 0.93 < hits / 2000 < 0.98


def test_seeds_that_agree_on_few_images_tell_no_difference_of_one_image():
    images = 100
    found = welch([0.95, 0.95], [0.94, 0.94], 1 / images)
    assert not found.told
    assert welch([0.95, 0.95], [0.5, 0.5], 1 / images).told


def test_a_single_training_gives_no_interval():
    found = welch([0.95], [0.94, 0.93])
    assert found.value == pytest.approx(0.015)
    assert math.isnan(found.low)
    assert not found.told
    assert "too few times" in sentence(verdicts(WINNER[:1] + ALIKE))
    (verdict,) = verdicts(WINNER[:1] + ALIKE)
    assert verdict.facts["interval"] is None


def test_the_sentence_says_better_worse_or_that_no_difference_can_be_told():
    assert sentence(verdicts(WINNER + ALIKE)).startswith(
        "The winner shows no difference that can be told from the reference (+0.00 points ["
    )
    assert "is better than the mean of 4 random networks of like cost (+14." in sentence(verdicts(WINNER + WORSE))
    assert "is worse than the mean of 4 random networks of like cost (-" in sentence(verdicts(WINNER + BETTER))
    both = sentence(verdicts(WINNER + ALIKE + WORSE))
    assert both.index("the reference") < both.index("the mean of 4 random networks")
    assert both.count(".") > 1
    assert both.endswith(".")
    alike = sentence(verdicts(WINNER + ALIKE + rows("random", "0001", [0.94, 0.97]) + rows("random", "0002", [0.96])))
    assert alike.count("no difference that can be told") == 1
    assert ") and from the mean of 2 random networks of like cost (" in alike
    assert sentence(verdicts(WINNER)) == ""


def test_architectures_count_once_each():
    """Random networks are compared by their means, so that more seeds do not narrow how architectures differ."""
    few = verdicts(WINNER + WORSE)[0]
    many = verdicts(WINNER + [row for row in WORSE for _ in range(50)])[0]
    assert (many.networks, many.below) == (few.networks, few.below) == (4, 4)
    assert many.difference.low == pytest.approx(few.difference.low)


def test_files_are_read_back_and_damaged_ones_refused(tmp_path):
    table, one = tmp_path / "comparison.csv", tmp_path / "done.json"
    write_table(table, WINNER + ALIKE + WORSE)
    assert read_table(table) == WINNER + ALIKE + WORSE
    write_training(one, WINNER[0])
    assert read_training(one, "winner", "0000") == WINNER[0]
    assert read_training(one, "random", "0000").role == "random"
    with pytest.raises(UserError, match=r"training 1111 .* got the architecture 0000; delete"):
        read_training(one, "winner", "1111")
    for text in ("role,arch\nwinner,0000\n", table.read_text().replace("0.95,", "nan,"), "\0", ""):
        table.write_text(text)
        with pytest.raises(UserError, match=r"comparison of trained networks .*; delete") as caught:
            read_table(table)
        assert "\n" not in str(caught.value)
