"""Passes side by side compute what one pass after another does, on copies that share weights and nothing else."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.engine.side_by_side import MOST, SideBySide, passes_at_once


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).requires_grad_(False)


def test_copies_share_weights_and_no_modes_or_statistics():
    one, two = SideBySide(network(), count=2).networks
    assert one[0].weight is two[0].weight
    assert one[1].running_mean is not two[1].running_mean
    with batch_statistics(one):
        assert two[1].track_running_stats


def test_jobs_run_at_the_same_time_and_come_back_in_order():
    side = SideBySide(network(), count=2)
    meet = threading.Barrier(2, timeout=20)  # passes only if both wait at once
    assert side.run([lambda: (meet.wait(), "a")[1], lambda: (meet.wait(), "b")[1]]) == ["a", "b"]


def test_parts_are_consecutive_and_none_is_empty():
    side = SideBySide(network(), count=3)
    for count in range(8):
        parts = [items for _, items in side.split(range(count))]
        assert [k for items in parts for k in items] == list(range(count))
        assert all(parts)
        assert len(parts) == min(3, count)
    assert len({id(net) for net, _ in side.split(range(8))}) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_no_gradients_and_the_number_of_threads_stays(count):
    side, before = SideBySide(network().requires_grad_(True), count), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        outputs = side.run([lambda: side.networks[0](torch.ones(2, 3, 8, 8)), torch.get_num_threads])
        assert not outputs[0].requires_grad
        assert outputs[1] == 2 // count
        assert torch.get_num_threads() == 2
        found = []
        thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert found == [2]  # also in threads that start later
        with pytest.raises(ZeroDivisionError):
            side.run([lambda: 1, lambda: 1 // 0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_one_pass_for_each_thread_of_a_cpu():
    before = torch.get_num_threads()
    try:
        for threads, expected in ((1, 1), (2, 2), (MOST + 2, MOST)):
            torch.set_num_threads(threads)
            assert passes_at_once("cpu") == expected
            assert passes_at_once("cuda") == 1
    finally:
        torch.set_num_threads(before)
