"""The short form of ``make chaos``: a few kills of the quick commands, and that broken promises are found."""

from __future__ import annotations

import os
import signal

import pytest

from pinas_zoo.weights import abandoned
from tests.chaos.campaign import Campaign, Row
from tests.chaos.victim import Moment, Victim
from tests.chaos.workloads import environment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")


def killed(row: Row) -> int:
    return row.kills.total()


def test_killed_commands_end_where_undisturbed_ones_do(tmp_path):
    names = ["search: learn", "convert", "register", "pull"]
    rows = Campaign(tmp_path, seed=3, names=names).run(kills=16, seconds=10)
    assert [problem for row in rows.values() for problem in row.broken] == []
    assert killed(rows["search: learn"]) >= 1


def test_a_kill_between_two_files_and_what_is_left_behind_are_seen(tmp_path, monkeypatch):
    """What would happen if no writer removed what a killed one left."""
    campaign = Campaign(tmp_path, seed=0, names=["register"])
    monkeypatch.setattr("pinas_zoo.weights.atomic.remove_abandoned", lambda parent, name: None)
    monkeypatch.setattr(abandoned, "process_exists", lambda pid: True)
    monkeypatch.setattr(campaign, "_moment", lambda reference, first: Moment(signal.SIGKILL, operation=5))
    rows = campaign.run(kills=1, seconds=60)
    assert rows["register"].kills["SIGKILL"] >= 1
    assert any("left behind: home/models/.kept_net.json." in problem for problem in rows["register"].broken)


def test_steps_and_changes_of_files_are_counted(tmp_path):
    victim = Victim(["completion", "bash"], tmp_path, environment(tmp_path, ""), None)
    while not victim.attend(60):
        pass
    assert victim.result is not None
    assert (victim.result[0], victim.operations, victim.steps) == (0, 0, 0)
    assert victim.problems() == []
