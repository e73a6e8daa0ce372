"""Model cards: facts of provenance.json and of the command line, of which the card shows the text and makes no markup."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pinas_zoo.weights.model_folder import read_facts
from pinas_zoo.weights.new_folder import FACTS_FILE
from pinas_zoo.zoo.model_card import make_card
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, given, table
from tests.networks import TINY

TEXTS = {
    "html": "<script>alert(1)</script>", "picture": "![x](http://127.0.0.1/x.png)", "link": "[x](javascript:alert(1))", "autolink": "<http://evil.example>", "bare-url": "see http://evil.example/x and www.evil.example",
    "cell": "a | evil | b", "heading": "# evil", "lines": "a\n\n# evil\n\n| a | b |", "front-matter": "a\n---\nlicense: evil\n---\n", "code": "`` ` evil", "escape": "\x1b[2J\x1b]0;x\x07", "bidi": "\u202eevil\u2066", "zero-width": "a\u200bb",
    "nul": "a\0b", "surrogate": "a\udce9", "yaml": "evil: {a: b} # &x *x !!python/object/apply:os.system", "long": "x" * 10**6, "empty": "", "mention": "@evil #1 GH-1", "entity": "&lt;script&gt;", "formula": "$\\href{javascript:1}{x}$", "reference": "[x]: javascript:1",
    "details": "<details open ontoggle=alert(1)>", "comment": "<!-- -->", "list": "- [ ] evil", "crlf": "a\r\n# evil", "tab-code": "\tevil", "wide-separator": "a\u2028# evil",
}  # fmt: skip
WRONG: dict[str, Any] = {"list": [1, [2, [3]]], "object": {"a": {"b": "<script>"}}, "number": 10**400, "nan": float("nan"), "true": True, "null": None, "deep": None}  # fmt: skip


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": value}
    return value


WRONG["deep"] = _deep(400)


def with_facts(facts: Mapping[str, Any]) -> Make:
    """A folder with these facts."""

    def make(folder: Path) -> Path:
        (folder / FACTS_FILE).write_text(json.dumps(dict(facts)))
        return folder

    return make


ARGS = {"arch": "0123", **TINY, "num_classes": 10}
CFG = {"input_size": (3, 32, 32), "architecture": "pinas"}


@functools.cache
def own() -> str:
    """The card of no facts."""
    return make_card("user/net", ARGS, CFG, {}, {})


def card(material: Path | Mapping[str, Any]) -> str:
    """The card of facts, in which nothing but this package's own text is markup."""
    facts = read_facts(material) if isinstance(material, Path) else material
    text = make_card("user/net", ARGS, CFG, facts, {})
    front, body = text.split("---\n", 2)[1:]
    assert set(yaml.safe_load(front)) <= {*yaml.safe_load(own().split("---\n", 2)[1]), "model-index", "datasets"}
    assert not set("\x1b\0\u202e\u200b\u2028") & set(text)
    shown, ours = (re.sub(r"```.*?```", "", part, flags=re.DOTALL) for part in (body, own().split("---\n", 2)[2]))
    shown = re.sub(r"`[^`\n]*`", "", re.sub(r"\\.", "", shown))  # without code and escaped signs
    assert not re.search(r"<[a-z!/]|\]\(|!\[|\]:|https?://|www\.|[*$~]", shown), "markup"
    assert headings(shown) == headings(ours)
    assert {line.count("|") for line in shown.splitlines() if line.startswith("|")} <= {3, 4, 9}
    assert len(text) < 20_000
    return text


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


METRIC = {"type": "accuracy", "value": 0.5, "dataset": "digits"}
CARDS: dict[str, tuple[Make, Promise]] = {
    "sound": (with_facts({"dataset": "digits", "metrics": [METRIC], "seed": 0}), Accepted(lambda text: "0.5" in text)),
    **{f"dataset-{name}": (with_facts({"dataset": value, "metrics": [{"type": "accuracy", "value": 0.5}]}), Either()) for name, value in {**TEXTS, **WRONG}.items()},
    **{f"dataset-id-{name}": (with_facts({"dataset": {"name": "a", "id": value, "split": value}}), Either()) for name, value in TEXTS.items()},
    **{f"metric-{name}": (with_facts({"metrics": [{**METRIC, "type": value, "name": value}]}), Either()) for name, value in TEXTS.items()},
    **{f"metrics-{name}": (with_facts({"dataset": "a", "metrics": value}), Refused("metric") if name in ("list", "number", "nan", "true") else Either()) for name, value in WRONG.items()},
    **{f"value-{name}": (with_facts({"metrics": [{**METRIC, "value": value}]}), Refused("finite number")) for name, value in {**WRONG, "text": "0.5", "inf": float("inf")}.items() if name != "deep"},
    **{f"license-{name}": (with_facts({"license": value}), Either()) for name, value in {**TEXTS, **WRONG}.items()},
    **{f"{key}-{name}": (with_facts({key: value}), Either()) for key in ("source", "score", "seed", "versions", "commands") for name, value in {**{k: TEXTS[k] for k in ("html", "link", "lines", "cell", "escape", "long")}, **WRONG}.items()},
    **{f"option-{name}": (given({"dataset": value, "license": value, "metrics": {value or "a": 0.5}}), Either()) for name, value in TEXTS.items()},
}  # fmt: skip


def inputs() -> tuple[Input, ...]:
    return table("card", card, CARDS)
