"""The page of a report: it shows what exists in a run's folder, and nothing in the folder becomes markup."""

from __future__ import annotations

import csv
import html
import json
import math
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search.chance_loss import chance_loss
from pinas_zoo.search.config import SearchConfig, parse_config
from pinas_zoo.search.ranking.main_effects import main_effects
from pinas_zoo.search.ranking.similarity import write_matrix
from pinas_zoo.search.report.page import capitalised, write_report
from pinas_zoo.search.score_kinds import KINDS
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import SearchSpace, build_space
from pinas_zoo.search.study.ranking_file import write_ranking

SPACE = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"
VOID = {"meta", "br", "hr", "img", "input", "link", "image"}


class Tags(HTMLParser):
    """Elements of a page; raises at one that is not closed where it should be."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def values(self, name: str) -> list[str | None]:
        return [value for key, value in self.attributes if key == name]


def config(score: str = "classifier", space: Mapping[str, Any] = SPACE, **data: Any) -> SearchConfig:
    return parse_config(
        dict(
            name="tiny",
            space=space,
            data=dict(type="digits", image_size=16, **data),
            learn=dict(options=dict(queue_size=64)),
            explore=dict(score=score),
        )
    )


def some_scores(space: SearchSpace, count: int) -> dict[Arch, Score]:
    rng = np.random.default_rng(0)
    scores: dict[Arch, Score] = {}
    while len(scores) < count:
        arch = space.sample(rng)[0]
        scores[arch] = Score(0.5 + 0.1 * (arch[1] == 2) + 0.01 * rng.random(), 1.0)
    return scores


def stage(folder: Path, name: str, curve: str = "", **facts: Any) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    done = {"summary": f"what {name} did", "seconds": 1.5, "peak_memory_mib": 100, **facts}
    (folder / name / "done.json").write_text(json.dumps(done))
    if curve:
        (folder / name / "curve.csv").write_text(curve)


def taus(count: int) -> dict[str, Any]:
    """rank.json as the version before wrote it."""
    tau = {"value": 0.5, "low": -0.25, "high": 0.75}
    found = {"truth": "truth.csv", "column": "accuracy", "seed": 0, "count": count}
    best = {"best": "0000", "best_truth": 90.0, "top_truth": 91.0}
    return {
        **found,
        "score": tau,
        "flops": tau,
        "difference": tau,
        **best,
        "effects": {"score": tau, "difference": tau},
    }


def points(scores: dict[Arch, Score]) -> dict[str, list[Any]]:
    values = [score.accuracy for score in scores.values()]
    ones = [1.0] * len(scores)
    return {"arch": [str(arch) for arch in scores], "score": values, "flops_g": ones, "truth": values}


class Folder:
    """A run that grows stage by stage, and its report."""

    def __init__(self, path: Path, options: SearchConfig, count: int = 40):
        self.path, self.config = path, options
        self.space = build_space(options.space)
        self.scores: dict[Arch, Score] = {}
        self.all_scores = some_scores(self.space, count)

    def learn(self) -> Folder:
        stage(self.path, "learn", "step,lr,loss,spread,drift\n1,0.1,9,0.5,0.1\n2,0.1,8,0.5,0.2\n", trouble=None)
        return self

    def linear(self) -> Folder:
        stage(self.path, "linear", "step,lr,loss,accuracy\n1,0.1,2,0.1\n2,0.1,1,0.5\n")
        return self

    def explore(self) -> Folder:
        self.scores = self.all_scores
        folder = self.path / "explore"
        folder.mkdir()
        effects = main_effects({arch: score.accuracy for arch, score in self.scores.items()}, 4)
        winner = write_ranking(folder / "ranking.csv", self.space, self.scores, 16, effects, "score")
        write_matrix(folder / "similarity.csv", np.full((4, 4), 0.75))
        stage(self.path, "explore", winner=str(winner), similarity=0.75, held_out=300)
        return self

    def winner(self, **facts: Any) -> Folder:
        stage(self.path, "winner", **(facts or dict(test_accuracy=0.75, test_images=350)))
        return self

    def train(self) -> Folder:
        stage(self.path, "train", "step,lr,loss,accuracy\n1,0.1,2,0.1\n2,0.1,1,0.5\n", test_accuracy=0.875)
        return self

    def whole(self) -> Folder:
        return self.learn().linear().explore().winner().train()

    def page(self) -> str:
        path = write_report(self.path, self.config, self.space, self.scores)
        assert path == self.path / "report.html"
        return path.read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Folder]:
    return Folder(tmp_path, config())


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="(\w+)">', page)


def test_the_page_is_well_formed_and_refers_to_nothing_outside(run):
    run.whole()
    (run.path / "rank.json").write_text(json.dumps(taus(40) | {"points": points(run.scores)}))
    page = run.page()
    tags = Tags(page)
    ids = tags.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in tags.values("href")} <= set(ids)
    assert not {"script", "link", "iframe", "object", "img"} & set(tags.tags)
    assert tags.values("src") == []
    outside = [value for _, value in tags.attributes if value and "://" in value]
    assert all(value.startswith("http://www.w3.org/") for value in outside)  # namespaces of SVG
    assert "url(http" not in page
    assert len(page) < 300_000


def test_sections_appear_with_their_files(run):
    page = run.page()
    assert sections(page) == ["configuration"]
    assert "No stage is complete." in page

    page = run.learn().page()
    assert sections(page) == ["learning", "stages", "configuration"]
    assert "no winner yet" in page
    assert "Linear evaluation" not in page
    assert "Linear evaluation" in run.linear().page()

    run.scores = dict(list(run.all_scores.items())[:5])  # explore has begun; 5 are too few for a tree
    assert sections(run.page()) == ["learning", "exploration", "effects", "stages", "configuration"]

    page = run.explore().page()
    shown = ["winner", "learning", "exploration", "candidates", "effects", "tree", "stages", "configuration"]
    assert sections(page) == shown
    assert "the best candidate so far" in page
    assert "timm.create_model" not in page

    page = run.winner().page()
    assert sections(page) == shown
    assert 'timm.create_model("tiny_winner", pretrained=True)  # test accuracy 75.00%' in page
    assert "75.00%<small>with weights inherited from the supernet, 350 test images</small>" in page

    (run.path / "rank.json").write_text(json.dumps(taus(40)))  # of a version that did not look up the paper's tau
    page = run.train().page()
    assert "The paper prints" not in page
    assert 'timm.create_model("tiny_winner", pretrained=True)  # test accuracy 87.50%' in page
    assert "87.50%<small>trained stand-alone, 350 test images</small>" in page
    assert sections(page) == [*shown[:6], "truth", *shown[6:]]
    contents = re.findall(r'<a href="#(\w+)">', page.split("</nav>")[0])
    assert contents == sections(page)


def test_a_winner_without_test_images_has_no_test_accuracy(run):
    page = run.learn().linear().explore().winner(note="no test images").page()
    assert 'timm.create_model("tiny_winner", pretrained=True)</code>' in page
    assert "est accuracy" not in page


@pytest.mark.parametrize("rank_by", ["score", "effects"])
def test_a_winner_that_the_method_chose_is_called_so_and_compared_with_nothing(tmp_path, rank_by):
    options = config().model_copy(update={"explore": config().explore.model_copy(update={"rank_by": rank_by})})
    run = Folder(tmp_path, options, count=1).learn()
    stage(run.path, "learn", chosen=str(next(iter(run.all_scores))))
    page = run.explore().winner().page()
    assert "chose in learning. No other architecture was scored." in page
    assert "was found among" not in page
    assert "Random search is estimated" not in page
    assert "Ranked by" not in page
    assert sections(page) == ["winner", "learning", "exploration", "candidates", "stages", "configuration"]
    assert page.split('id="exploration"')[1].split("</section>")[0].count("<figure>") == 1  # similarity of features
    assert {link.removeprefix("#") for link in Tags(page).values("href")} <= set(Tags(page).values("id"))


def test_similarity_alone_is_shown_after_learn(run):
    run.learn()
    write_matrix(run.path / "similarity.csv", np.full((4, 4), 0.625))
    assert "Feature similarity by last candidate (pinas-zoo similarity); 0.625 off the diagonal" in run.page()


@pytest.mark.parametrize("score", KINDS)
def test_every_kind_of_score_is_named(score, tmp_path):
    page = Folder(tmp_path, config(score)).whole().page()
    Tags(page)
    kind = KINDS[score]
    assert kind.words in html.unescape(page)
    assert f"{capitalised(kind.title)} of the candidates" in page
    assert kind.in_supernet == ("on held-out images in the supernet" in page)
    assert kind.percent == ("Percentage points that" in page)
    assert f"<th class=n>{kind.name}</th>" in page
    assert ("column <code>accuracy</code> holds the consistency" in page) == (score == "consistency")


def test_the_paper_s_tau_stands_beside_ours(run):
    run.whole()
    papers = {"figure": 3, "taus": {"pinas": "0.70", "spos": "0.57"}, "text": "0.70 <by> Figure 3"}
    (run.path / "rank.json").write_text(json.dumps(taus(40) | {"paper": papers}))
    assert "<p>The paper prints 0.70 &lt;by&gt; Figure 3.</p>" in run.page()


def test_text_of_the_folder_and_of_the_configuration_is_escaped(tmp_path):
    run = Folder(tmp_path, config(name=EVIL, root=EVIL)).whole()
    stage(run.path, "learn", summary=EVIL + "1", trouble=EVIL + "2")
    (run.path / "winner" / "config.json").write_text(json.dumps({"label_names": ["zero", EVIL + "3"]}))
    (run.path / "rank.json").write_text(json.dumps(taus(40) | {"truth": EVIL + "4", "column": EVIL + "5"}))
    ranking = run.path / "explore" / "ranking.csv"
    with ranking.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[1] |= {"arch": EVIL + "6"}
    with ranking.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    page = run.page()
    tags = Tags(page)
    assert not {"script", "img"} & set(tags.tags)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    for number in range(1, 7):
        assert EVIL + str(number) in html.unescape(page), number


def test_text_within_figures_is_escaped(run):
    run.whole()
    (run.path / "rank.json").write_text(json.dumps(taus(40) | {"column": EVIL, "points": points(run.scores)}))
    page = run.page()
    assert not {"script", "img"} & set(Tags(page).tags)
    assert page.count("&lt;script&gt;") == 3  # the text, the caption, and the title of the figure


def test_an_svg_of_the_folder_never_reaches_the_page(run):
    run.whole()
    for name in ("rank.svg", "similarity.svg", "explore/figure.svg"):
        (run.path / name).write_text(
            '<svg xmlns="http://www.w3.org/2000/svg" data-evil=""><script>evil()</script></svg>'
        )
    (run.path / "rank.json").write_text(json.dumps(taus(40) | {"points": points(run.scores)}))
    page = run.page()
    assert "evil" not in page
    assert "script" not in Tags(page).tags


def test_the_figure_of_rank_is_drawn_from_its_points(run):
    run.whole()
    file = run.path / "rank.json"
    file.write_text(json.dumps(taus(40)))
    before = run.page()
    assert (
        "<td>scores in the supernet</td><td class=n>+0.500</td><td class=n>-0.250</td><td class=n>+0.750</td>" in before
    )
    file.write_text(json.dumps(taus(40) | {"points": points(run.scores)}))
    after = run.page()
    assert after.count("<svg") == before.count("<svg") + 1
    assert "tau +0.500 [-0.250, +0.750], n = 40" in after


@pytest.mark.parametrize("text", ["{", "[]", '{"score": 1}', '{"score": {"value": "high"}}'])
def test_a_damaged_rank_json_is_named(run, text):
    (run.path / "rank.json").write_text(text)
    with pytest.raises(UserError, match=r"rank\.json as pinas-zoo rank writes it, got .*; run pinas-zoo rank again"):
        run.page()


def test_many_points_are_an_image_within_the_figure(tmp_path):
    run = Folder(tmp_path, config(space=dict(type="nasbench201", channels=4, cells=1)), count=3000)
    run.scores = run.all_scores
    (run.path / "rank.json").write_text(json.dumps(taus(3000) | {"points": points(run.scores)}))
    page = run.page()
    images = [
        value for value in Tags(page).values("xlink:href") if value and value.startswith("data:image/png;base64,")
    ]
    assert len(images) == 2  # scores by evaluation, and the points of rank
    assert len(page) < 400_000


def test_loss_of_guessing_follows_from_the_queue():
    learn: dict[str, Any] = dict(batch_size=16, options=dict(queue_size=64))
    full = 2 * math.log(1 + 64)

    def chance(**more: Any) -> list[float] | None:
        return chance_loss(parse_config(dict(name="tiny", learn={**learn, **more})), [1, 3, 100])

    assert chance() == pytest.approx([full] * 3)
    assert chance(options=dict(queue_size=64, warm_queue=True)) == pytest.approx([0, 2 * math.log(1 + 32), full])
    assert chance(options={}) == pytest.approx([2 * math.log(1 + 49152)] * 3)
    assert chance(options=dict(negatives=False)) is None
    assert chance(method="spos", options={}) is None


def test_loss_of_guessing_classes():
    def chance(**learn: Any) -> list[float] | None:
        return chance_loss(parse_config(dict(name="tiny", learn=learn)), [1, 2], num_classes=10, num_candidates=4)

    assert chance(method="spos") == pytest.approx([math.log(10)] * 2)
    assert chance(method="fairnas") == pytest.approx([4 * math.log(10)] * 2)
    assert chance(method="fairnas", options=dict(update="path")) == pytest.approx([math.log(10)] * 2)


def test_accuracies_in_the_supernet_stand_beside_those_of_table_1_in_the_papers_space_alone(tmp_path):
    small = Folder(tmp_path / "small", config()).learn().explore()
    assert "Known architectures in the supernet" not in small.page()  # a run of an earlier version
    done = json.loads((small.path / "explore" / "done.json").read_text())
    stage(small.path, "explore", **{**done, "references": {"resnest": 0.625}})
    page = small.page()
    assert ("62.50%" in page, "64.6%" in page) == (True, False)
    assert "<th class=n>paper</th>" not in page

    paper = Folder(tmp_path / "paper", config(space=dict(type="resnest50"))).learn().explore()
    done = json.loads((paper.path / "explore" / "done.json").read_text())
    known = {"resnest50d": 0.5, "pinas_alpha": 0.51, "pinas_gamma": 0.52}
    stage(paper.path, "explore", **{**done, "references": known})
    assert "<th class=n>paper</th>" in paper.page()
    text = re.sub(r"<[^>]+>", " ", paper.page())
    cells = " ".join(text[text.index("whose supernet was trained") :].split())
    for row in (
        "ResNeSt-50 1111111111111111 50.00% 64.6%",
        "Π-NAS-α 3013231203213032 51.00% 65.0%",
        "Π-NAS-γ 3333113330011021 52.00% 65.0%",
        "Π-NAS-β not available 65.1%",
    ):
        assert row in cells


def test_choices_have_the_names_of_their_space(tmp_path):
    """Digits of a cell say nothing: the table, the tree and the similarity name operations and edges."""
    cells = dict(type="nasbench201", channels=4, cells=1, operations=("skip_connect", "nor_conv_3x3", "avg_pool_3x3"))
    run = Folder(tmp_path, config(space=cells))
    run.explore()
    write_matrix(run.path / "explore" / "similarity.csv", np.full((3, 3), 0.75))
    page = run.page()
    effects = page.split('id="effects"')[1].split("</section>")[0]
    head = re.findall(r"<th[^>]*>([^<]*)</th>", effects)
    assert head == ["layer", "0 skip_connect", "1 nor_conv_3x3", "2 avg_pool_3x3"]
    assert "<td>2 edge 0→2</td>" in effects
    tree = page.split('id="tree"')[1].split("</section>")[0]
    assert "<code>edge 1→3: avg_pool_3x3</code> is\ncandidate 2 (avg_pool_3x3) in layer 5 (edge 1→3)." in tree
    assert "edge 0→2: avg_pool_3x3" in tree.split("<svg")[1]  # the choice that matters in these scores
    assert not re.search(r">\d=\d<", tree)
    assert "Of these digits, 0 is skip_connect, 1 is nor_conv_3x3, 2 is avg_pool_3x3." in page
    assert "1 nor_conv_3x3</text>" in page.split('id="exploration"')[1].split("</section>")[0]  # of the similarity


def test_names_that_do_not_fit_a_space_leave_its_numbers(tmp_path):
    run = Folder(tmp_path, config())
    run.space.layer_names, run.space.candidate_names = ("first",), ["$x^2$", EVIL, "c", "d"]
    page = run.explore().page()
    assert "<code>4: c</code> is\ncandidate 2 (c) in layer 4." in page
    assert "script" not in Tags(page).tags
    run.space.candidate_names = ()
    page = run.page()
    assert "<code>4=2</code> is\ncandidate 2 in layer 4." in page
    assert "<th class=n>candidate 3</th>" in page
    assert "Of these digits" not in page


@pytest.mark.parametrize(("space", "unit"), [(SPACE, "M"), (dict(type="resnest50"), "G")])
def test_the_table_of_candidates_has_multiply_adds_in_the_unit_of_the_tiles(tmp_path, space, unit):
    """A table of 0.000039 G stood below a tile of 0.0387 M."""
    page = Folder(tmp_path, config(space=space)).explore().page()
    (tile,) = re.findall(rf"<dt>Multiply-adds</dt><dd>([\d.]+) {unit}<", page)
    table = page.split('id="candidates"')[1].split("</section>")[0]
    assert f"<th class=n>multiply-adds, {unit}</th>" in table
    assert f"<td class=n>{tile}</td>" in table.split("</tr>")[1]
