"""What must hold after a kill, and once the command has been run until its end."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import tempfile
import urllib.request
import zipfile
from collections import Counter
from pathlib import Path

from safetensors import safe_open

from tests.chaos.workloads import Workload, same_file, tree
from tests.hub_server import TOKEN


def half_written(folder: Path) -> list[str]:
    """Files under their final names that are not whole."""
    problems = []
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as file:
                    list(file.keys())
            elif path.suffix == ".pth":
                with zipfile.ZipFile(path) as archive:
                    archive.infolist()
            elif path.suffix == ".html" and not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
                raise ValueError("no end")
        except Exception as error:
            problems.append(f"half-written {path.relative_to(folder)}: {type(error).__name__} {error}")
    return problems


def trials(folder: Path, study: str) -> dict[str, list[str]]:
    """Architectures of a study's trials by state, read from a copy of its database."""
    if not study or not (folder / study).is_file():
        return {}
    with tempfile.TemporaryDirectory() as made:
        for path in (folder / study).parent.glob(f"{Path(study).name}*"):
            shutil.copy(path, made)
        found: dict[str, list[str]] = {}
        db = sqlite3.connect(Path(made) / Path(study).name)
        try:
            query = (
                "select t.state, a.value_json from trials t left join trial_user_attributes a "
                "on a.trial_id = t.trial_id and a.key = 'arch'"
            )
            for state, arch in db.execute(query):
                found.setdefault(state, []).append(str(arch))
        except sqlite3.OperationalError:  # the tables are not there yet
            return {}
        finally:
            db.close()
    return found


def after_kill(workload: Workload, folder: Path, scored: set[str]) -> tuple[list[str], set[str]]:
    """Problems of a folder whose processes have ended, and the candidates that are scored by now.

    Args:
        workload: What ran.
        folder: Its folder.
        scored: The candidates that were scored at the kill before.
    """
    now = set(trials(folder, workload.study).get("COMPLETE", []))
    dropped = [f"{len(scored - now)} scored candidates are gone"] if scored - now else []
    return half_written(folder) + dropped, now


def at_end(workload: Workload, folder: Path, reference: Path, hub: str, inputs: Path, kills: int) -> list[str]:
    """Problems of a folder whose command has been run until its end.

    Args:
        workload: What ran.
        folder: Its folder.
        reference: The folder of the same command, never killed.
        hub: Address of the Hub.
        inputs: What the commands read.
        kills: How often its processes were killed.
    """
    problems = half_written(folder)
    problems += [f"{path} differs" for path in workload.equal if not same_file(folder / path, reference / path)]
    here, there = tree(folder), tree(reference)
    problems += [f"left behind: {path}" for path in sorted(here - there)]
    problems += [f"missing: {path}" for path in sorted(there - here)]
    if workload.study:
        problems += _study(workload, folder, reference, kills)
    if workload.name == "push":
        problems += _pushed(folder.name, hub, inputs / "model")
    return problems


def _study(workload: Workload, folder: Path, reference: Path, kills: int) -> list[str]:
    here, there = trials(folder, workload.study), trials(reference, workload.study)
    complete, problems = here.get("COMPLETE", []), []
    twice = [arch for arch, count in Counter(complete).items() if count > 1]
    if twice:
        problems.append(f"evaluated twice: {', '.join(twice)}")
    if len(complete) != len(there["COMPLETE"]):
        problems.append(f"{len(complete)} candidates are scored, not {len(there['COMPLETE'])}")
    if not workload.by_workers and set(complete) != set(there["COMPLETE"]):
        problems.append("other candidates than without a kill")
    if here.get("RUNNING"):
        problems.append(f"{len(here['RUNNING'])} trials still run")
    # of two workers that lease the same candidate at once, one gives its trial up before it is scored
    if not workload.by_workers and len(here.get("FAIL", [])) > 2 * kills:
        problems.append(f"{len(here['FAIL'])} trials failed in {kills} kills of batches of two")
    with (folder / workload.study).with_name("ranking.csv").open(newline="") as file:
        ranked = [row["arch"] for row in csv.DictReader(file)]
    if sorted(json.dumps(arch) for arch in ranked) != sorted(complete):
        problems.append("ranking.csv lists other candidates than the study")
    return problems


def _pushed(name: str, hub: str, model: Path) -> list[str]:
    """Files on the Hub that differ from the folder's."""
    problems = []
    for path in ("config.json", "model.safetensors"):
        request = urllib.request.Request(
            f"{hub}/user/{name}/resolve/main/{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
        except OSError as error:
            problems.append(f"not on the Hub: {path} ({error})")
            continue
        if path.endswith(".safetensors") and content != (model / path).read_bytes():
            problems.append(f"{path} on the Hub differs")
    return problems
