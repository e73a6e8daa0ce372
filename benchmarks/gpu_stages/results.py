"""Results of a stage: one JSON file that is written anew after each row, so that a killed run loses one row at most."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_stages.plan import STAGES
from pinas_zoo.weights.atomic import write_json


@dataclass
class StageResults:
    """Rows of one stage that a machine has answered with one version.

    Attributes:
        path: The file.
        machine: What the figures depend on: card, torch, CUDA, version of the package. Rows of another machine in the
            file are dropped.
        rows: Answers by name. A row that failed has the key ``error``; it is measured again by the next run.
        current: The row that is being measured.
    """

    path: Path
    machine: dict[str, str]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    current: str | None = None

    @classmethod
    def load(cls, out: Path, stage: str, machine: dict[str, str]) -> StageResults:
        path = out / f"{stage}.json"
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["machine"] == machine:
                return cls(path, machine, kept["rows"], kept["current"])
        return cls(path, machine)

    def save(self) -> None:
        write_json(self.path, {"machine": self.machine, "current": self.current, "rows": self.rows})

    def start(self, row: str) -> None:
        self.current = row
        self.save()

    def add(self, row: str, values: dict[str, Any]) -> None:
        self.rows[row], self.current = values, None
        self.save()

    def blame(self, reason: str) -> bool:
        """Record that a process ended while it measured a row; whether it did."""
        if self.current is None:
            return False
        self.add(self.current, {"error": reason})
        return True

    def open_rows(self) -> list[str]:
        """Rows to measure, those that never failed first."""
        rows = STAGES[self.path.stem].questions
        new = [name for name in rows if name not in self.rows]
        return new + [name for name in rows if "error" in self.rows.get(name, {})]

    def is_complete(self) -> bool:
        return not self.open_rows()
