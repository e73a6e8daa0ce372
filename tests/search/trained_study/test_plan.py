"""The dry run of a study says what it would do, and does nothing."""

from __future__ import annotations

import json
import shutil

from pinas_zoo.cli import main
from tests.search.trained_study.tiny_study import write_config


def test_a_dry_run_shows_the_jobs_and_writes_nothing(tmp_path, capsys):
    config, folder = write_config(tmp_path, "count = 4\n"), tmp_path / "run"
    words = ["study", str(config), "--work-dir", str(folder), "--dry-run"]
    assert main([*words, "--json", "--set", "storage=postgresql://me:secret@there/studies"]) == 0
    out = capsys.readouterr().out
    assert "secret" not in out
    found = json.loads(out)
    assert found["config"]["count"] == 4
    assert (found["jobs"], found["complete"], found["data_found"]) == (4 * 2 + 2, 0, True)
    assert {arch: origin for arch, origin in found["architectures"].items() if origin != "random"} == {
        "1111": "reference resnest", "0123": "listed",
    }  # fmt: skip
    assert len(found["architectures"]) == 3

    assert main([*words, "--set", "supernet_seeds=(3, 4)", "--set", "sums=(('consistency', ('flops', 0.5)),)"]) == 0
    out = capsys.readouterr().out
    assert '"count": 4' in out
    assert "supernet  spos: spos, 3 steps, with 2 seeds\n" in out
    assert "train     0123: listed\n" in out
    (scores,) = (line for line in out.splitlines() if line.startswith("score     by "))
    assert scores.endswith(", consistency + 0.5 flops")
    assert "train     1 more, which the supernets decide: the best of each method\n" in out
    assert "jobs      12: 2 supernets to learn and to score, 8 trainings; 0 are complete\n" in out
    assert "NOT FOUND" not in out

    shutil.rmtree(tmp_path / "images")
    assert main(words) == 0
    assert "data      NOT FOUND" in capsys.readouterr().out
    assert not folder.exists()
