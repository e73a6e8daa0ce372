"""The table of all stages, with what is still open."""

from __future__ import annotations

from collections.abc import Mapping

from gpu_stages.plan import STAGES
from gpu_stages.results import StageResults


def page(machine: Mapping[str, str] | None, results: Mapping[str, StageResults], command: str) -> str:
    """Markdown of every row, in order of worth. Rows that no result answers are open.

    Args:
        machine: What the figures depend on; None if nothing was measured.
        results: Results by stage.
        command: The command that printed it.
    """
    where = "No card has answered yet." if machine is None else "; ".join(f"{k} {v}" for k, v in machine.items())
    lines = ["# One command for a card", "", f"`{command}`", "", where, ""]
    for stage, plan in STAGES.items():
        rows = results[stage].rows if stage in results else {}
        answered = sum("error" not in rows.get(name, {"error": ""}) for name in plan.questions)
        lines += [f"## {stage}: {plan.asks}", "", f"{answered} of {len(plan.questions)} answered.", ""]
        lines += ["| row | question | answer | goal | met |", "| --- | --- | --- | --- | --- |"]
        for name, question in plan.questions.items():
            row = rows.get(name, {})
            answer = row.get("text") or ("open: " + row["error"] if row.get("error") else "open")
            met = {True: "yes", False: "no", None: ""}[row.get("met")]
            cells = [name, question, answer, row.get("goal", ""), met]
            lines.append("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)
