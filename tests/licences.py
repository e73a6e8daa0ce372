"""The licence of every dependency, from the metadata of the installed distributions: the table of docs/licences.md.

python -m tests.licences    # writes the table anew; rows of packages that are not installed here stay
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/licences.md"
HEAD = "| package | licence | needed by |\n| --- | --- | --- |\n"
GROUPS = ("core", "study", "search", "openmmlab", "transformers", "smp", "dev", "onedl")  # a package is in the first
NOT_STATED = "not stated"
# what metadata from before SPDX expressions says: in its field, and then in its classifiers
_SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "licenseref-apache-2.0": "Apache-2.0",
    "mit license": "MIT",
    "bsd license": "BSD",
    "bsd 2-clause license": "BSD-2-Clause",
    "freebsd": "BSD-2-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary",
    "other/proprietary license": "LicenseRef-NVIDIA-Proprietary",
}
_EXPRESSION = re.compile(r"\w[\w.+-]*( (AND|OR|WITH) \w[\w.+-]*)*")


def normal(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(facts: Mapping[str, Any] | Any) -> str:
    """The licence that a distribution's metadata states, as an SPDX expression where its words have one."""
    classifiers = [text.split("::")[-1] for text in facts.get_all("Classifier") or () if text.startswith("License ::")]
    for text in (facts.get("License-Expression") or "", facts.get("License") or "", *classifiers):
        text = text.strip()
        if text.lower() in _SPDX:
            return _SPDX[text.lower()]
        if _EXPRESSION.fullmatch(text) and text != "UNKNOWN":
            return text
        if text.startswith("BSD 3-Clause License"):
            return "BSD-3-Clause"
    return NOT_STATED


def requirements() -> dict[str, list[str]]:
    """The requirements of each group in pyproject.toml."""
    import tomllib  # of Python 3.11

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"core": project["dependencies"], **project["optional-dependencies"]}


def _wanted(lines: Iterable[str], extra: str) -> Iterator[Any]:
    """The requirements among lines that hold on this system for an extra; ``""``: for none."""
    from packaging.requirements import Requirement

    for line in lines:
        found = Requirement(line)
        if found.marker is None or found.marker.evaluate({"extra": extra}):
            yield found


def closure(lines: Iterable[str]) -> set[str]:
    """The packages of requirements, and what those need in turn, as far as it is installed; this package left out."""
    seen: set[tuple[str, str]] = set()
    left = [(normal(r.name), extra) for r in _wanted(lines, "") for extra in ("", *r.extras)]
    while left:
        name, extra = left.pop()
        if (name, extra) in seen or name == "pinas-zoo":
            continue
        seen.add((name, extra))
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        left += [(normal(r.name), more) for r in _wanted(needed, extra) for more in ("", *r.extras)]
    return {name for name, _ in seen}


def installed_rows() -> dict[str, tuple[str, str]]:
    """Licence and group of every installed dependency, by name."""
    rows: dict[str, tuple[str, str]] = {}
    for group in GROUPS:
        for name in closure(requirements()[group]):
            try:
                rows.setdefault(name, (licence_of(metadata.metadata(name)), group))
            except metadata.PackageNotFoundError:
                continue
    return rows


def page_rows(text: str) -> dict[str, tuple[str, str]]:
    """Licence and group of every row of the page's table, by name."""
    cells = [line.strip("|\n ").split(" | ") for line in text.partition(HEAD)[2].splitlines() if line.startswith("|")]
    return {name: (licence, group) for name, licence, group in cells}


def main() -> int:
    """Write the table anew and say what changed."""
    text = PAGE.read_text(encoding="utf-8")
    before = page_rows(text)
    rows = before | installed_rows()
    table = "".join(f"| {name} | {' | '.join(rows[name])} |\n" for name in sorted(rows))
    PAGE.write_text(text.partition(HEAD)[0] + HEAD + table, encoding="utf-8")
    for name, row in sorted(rows.items()):
        if before.get(name) != row:
            print(name, before.get(name), "->", row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
