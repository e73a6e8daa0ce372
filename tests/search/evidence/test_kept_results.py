"""The runs that the repository keeps still give the page that it prints."""

from __future__ import annotations

import pytest

from pinas_zoo.search.evidence.plan import find_evidence, load_evidence
from pinas_zoo.search.evidence.report import report_text
from pinas_zoo.search.evidence.tables import Evidence
from pinas_zoo.search.evidence.truth import load_truth
from tests.golden import shared_dir
from tests.search.evidence.made_up_runs import CHECKOUT, CONFIG

RESULTS = CHECKOUT / "benchmarks" / "results" / "nb201"


def test_the_page_begins_as_the_configuration_says():
    config = load_evidence(find_evidence(str(CONFIG)))
    beginning = "\n\n".join([f"# {config.title}", *config.introduction])
    assert RESULTS.with_suffix(".md").read_text(encoding="utf-8").startswith(f"{beginning}\n\n## All methods")


@pytest.mark.slow
def test_the_page_follows_from_the_kept_runs():
    """The page is equal byte for byte, with all resamples. It takes two to three minutes."""
    config = load_evidence(find_evidence(str(CONFIG)))
    truth = load_truth(shared_dir() / "data" / "nb201_cifar10.csv", config.truth, config.report.resamples)
    text = report_text(Evidence.load(config, truth, RESULTS))
    assert text == RESULTS.with_suffix(".md").read_text(encoding="utf-8")
