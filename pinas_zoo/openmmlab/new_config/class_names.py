"""Class names in a file beside the masks: classes.txt, labels.json, ADE20K's objectInfo150.txt and the like."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.new_config.folders import files_in, folders_below

STEMS = ("classes", "class_names", "classnames", "labels", "label_names", "names", "categories", "objectinfo150")
LARGEST = 1_000_000  # bytes; a file of labels of all images is another thing


def find_names(root: Path) -> tuple[tuple[str, ...], Path] | None:
    """The names in the order of the masks' numbers, and their file; None if there is none in the folder or below it.

    Raises:
        UserError: A file of such a name cannot be read as names, or has one twice.
    """
    for folder in folders_below(root):
        for file in files_in(folder, (".txt", ".json")):
            if file.stem.lower() in STEMS and file.stat().st_size <= LARGEST:
                return _checked(_read(file), file), file
    return None


def ade20k_names(root: Path) -> tuple[str, ...] | None:
    """ADE20K's 150 names if the folder has the name of its scene parsing data; in its masks 0 is none of them."""
    if not root.resolve().name.lower().startswith("adechallenge"):
        return None
    from mmseg.utils import ade_classes

    return tuple(ade_classes())


def _read(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8-sig")
        return _of_json(json.loads(text)) if file.suffix.lower() == ".json" else _of_lines(text)
    except (ValueError, RecursionError, KeyError, TypeError):
        return None


def _of_json(content: Any) -> list[Any]:
    """A list of names; a list of objects with name and id; a dict from numbers to names, or from names to numbers."""
    if isinstance(content, dict) and isinstance(content.get("classes") or content.get("categories"), list):
        content = content.get("classes") or content.get("categories")
    if isinstance(content, dict):
        if all(str(key).isdecimal() for key in content):
            return _in_order([(int(key), value) for key, value in content.items()])
        return _in_order([(int(number), name) for name, number in content.items()])
    if not isinstance(content, list):
        raise ValueError("neither a list nor an object")
    if all(isinstance(entry, dict) for entry in content):
        return _in_order([(int(entry["id"]), entry["name"]) for entry in content])
    return list(content)


def _of_lines(text: str) -> list[str]:
    """A name a line, with or without its number before it; objectInfo150.txt has the names in its last column."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].split()[:2] == ["Idx", "Ratio"]:
        return [line.split("\t")[-1].split(",")[0].strip() for line in lines[1:]]
    numbered = [re.fullmatch(r"(\d+)[\s:,;]+(.+)", line) for line in lines]
    if lines and all(numbered):
        return _in_order([(int(match[1]), match[2].strip()) for match in numbered if match])
    return lines


def _in_order(entries: list[tuple[int, Any]]) -> list[Any]:
    """Names by their numbers, which count from 0 or from 1."""
    entries = sorted(entries, key=lambda entry: entry[0])
    if [number - entries[0][0] for number, _ in entries] != list(range(len(entries))) or entries[0][0] not in (0, 1):
        raise ValueError("numbers with gaps")
    return [name for _, name in entries]


def _checked(names: Any, file: Path) -> tuple[str, ...]:
    right = isinstance(names, list) and names and all(isinstance(name, str) and name.strip() for name in names)
    if not right or len(set(names)) < len(names):
        raise UserError(
            f"expected class names in {file}, each once and in the order of the masks' numbers (a name a line, or a "
            f"JSON list), got {'some twice' if right else 'something else'}; correct it, or rename the file if it is "
            "another thing"
        )
    return tuple(name.strip() for name in names)
