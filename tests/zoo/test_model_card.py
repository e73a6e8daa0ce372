"""Facts of a folder that somebody else made are shown in a card as they are: no links, pictures, HTML or cells."""

from __future__ import annotations

import re

import pytest
import yaml

from pinas_zoo import cli
from pinas_zoo.errors import UserError
from pinas_zoo.zoo.model_card import card_text, code_text
from pinas_zoo.zoo.publish import plan_push
from tests.networks import tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")
EVIL = (
    "x](http://evil) ![p](//evil/p) <img src=x onerror=a> | y |\n\n# Heading\n---\nlicense: mit\x1b[2J www.evil.com `c`"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("net") / "net")[0]


def test_names_inject_no_markdown(folder):
    metric = {"type": EVIL, "value": 0.5, "name": EVIL, "dataset": {"name": EVIL, "split": EVIL}}
    facts = {"dataset": EVIL, "license": EVIL, "source": EVIL, "versions": {EVIL: EVIL}, "commands": [EVIL]}
    card = plan_push(folder, "us/net", {**facts, "metrics": [metric]}).card
    _, front, body = re.split(r"(?m)^---$", card, maxsplit=2)
    described = yaml.safe_load(front)
    assert described["license"].startswith("x](http://evil)")
    assert described["tags"][0] == "image-classification"
    assert "\x1b" not in card
    assert re.search(r"(?<!\\)\]\(|(?<!\\)<img|[^\\\\]://evil|(?m:^# Heading)", body.replace(f"us{'/'}net", "")) is None
    rows = [line for line in body.splitlines() if "Heading" in line]
    assert rows
    for row in rows:
        assert row.replace("\\|", "").count("|") in (3, 4)  # the cells of the table alone


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("scikit-learn digits", "scikit-learn digits"),
        ("a|b", "a\\|b"),
        ("https://x.org", "https\\://x.org"),
        ("a\n b", "a b"),
        ("<b>", "\\<b\\>"),
        ("π", "π"),
    ],
)
def test_card_text(text, shown):
    assert card_text(text) == shown
    assert "\n" not in code_text(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.9", True, None])
def test_a_metric_that_is_no_number(folder, value):
    with pytest.raises(UserError, match="finite number"):
        plan_push(folder, "us/net", {"dataset": "x", "metrics": {"accuracy": value}})


@pytest.mark.parametrize("metric", ["accuracy=nan", "accuracy=inf", "accuracy=1e999", "=0.5", "accuracy", "accuracy="])
def test_the_option_takes_finite_numbers(folder, metric, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["push", str(folder), "us/net", "--dataset", "x", "--metric", metric])
    assert stopped.value.code == 2
    assert "expected a metric" in capsys.readouterr().err
