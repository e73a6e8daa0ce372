"""report.html: one file that opens offline and shows what a run found, how it learned and what it cost."""

from __future__ import annotations

import html
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pinas_zoo.arch import Arch
from pinas_zoo.engine import trainer
from pinas_zoo.search import config
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.ranking.main_effects import main_effects
from pinas_zoo.search.ranking.similarity import heat_map, off_diagonal, read_matrix
from pinas_zoo.search.report.tree_figure import LEAST, tree_figure
from pinas_zoo.search.run_folder import DONE, STAGES, read_done
from pinas_zoo.search.scorers.classifier import Score
from pinas_zoo.search.scorers.kinds import KINDS
from pinas_zoo.search.study.loop import read_ranking
from pinas_zoo.version import __version__
from pinas_zoo.weights.atomic import write_text

if TYPE_CHECKING:
    from pinas_zoo.search.pipeline import Run

BEST = (
    "over evaluations. Random search: what to expect of draws from the candidates that were "
    "drawn at random here, whose best it cannot exceed; with few of them it looks worse than it is"
)
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .5rem;text-align:left;border-bottom:1px solid #eee;vertical-align:top}
td.n,th.n{text-align:right}pre{background:#f5f5f5;padding:.75rem;overflow-x:auto}
figure{margin:0;overflow-x:auto}figcaption{color:#555;font-size:.9rem}
svg{max-width:100%;height:auto}.scroll svg{max-width:none}
.wide{overflow-x:auto}.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:1rem}
"""


def write_report(run: Run) -> Path:
    """Write the report of a run whose stages are complete; whole or not at all."""
    facts = {s: read_done(run.folder / s) for s in STAGES if (run.folder / s / DONE).is_file()}
    path = run.folder / "report.html"
    write_text(path, _page(run, facts))
    return path


def _page(run: Run, facts: Mapping[str, Mapping[str, Any]]) -> str:
    config, arch = run.config, facts["explore"]["winner"]
    ranking = read_ranking(run.folder / "explore" / "ranking.csv")
    scores = run.scores()
    accuracies = list(scores.values())
    trained = "train" in facts
    test = facts["train" if trained else "winner"]["test_accuracy"]
    method = method_class(config.learn.method).title
    curves = [("learn", "loss", f"Learning: {method} loss")]
    if "linear" in facts:
        curves.append(("linear", "accuracy", "Linear evaluation: accuracy"))
    if "drift" in trainer.read_curve(run.folder / "learn"):
        curves.append(("learn", "drift", "Parameter shift: distance of teacher and student, relative"))
    if trained:
        curves.append(("train", "accuracy", "The winner alone: accuracy"))
    figures = [_figure(_curve(trainer.read_curve(run.folder / stage), key), title) for stage, key, title in curves]
    kind = KINDS[config.explore.score]
    quantity = f"held-out {kind.name}"
    figures.append(_figure(_histogram(accuracies, quantity), f"{quantity.capitalize()} of the candidates"))
    figures.append(_figure(_best_so_far(accuracies, random_draws(config.explore), quantity), f"Best {quantity} {BEST}"))
    figures.append(
        _figure(_cost(ranking, quantity), f"{quantity.capitalize()} over multiply-adds, and the Pareto front")
    )
    matrix = read_matrix(run.folder / "explore" / "similarity.csv")
    title = f"Feature similarity by last candidate; {off_diagonal(matrix):.3f} off the diagonal"
    figures.append(_figure(heat_map(matrix), title))
    stages = [[name, f["summary"], f"{f['seconds']:.0f}", f"{f['peak_memory_mib']}"] for name, f in facts.items()]
    stages.append(["all", "", f"{sum(f['seconds'] for f in facts.values()):.0f}", ""])
    by_effects = config.explore.rank_by == "effects"
    ranked = "the sums of what each choice adds (below)" if by_effects else f"{kind.name}, then loss"
    columns = {"loss": "loss", "params_m": "params, M", "flops_g": "multiply-adds, G", "effects": "sum of effects"}
    top = [
        [r["rank"], r["arch"], f"{float(r['accuracy']):.2%}", *(r.get(key, "") for key in columns)]
        for r in ranking[:10]
    ]
    measured = "trained alone" if trained else "as cut out of the supernet"
    load = (
        "import timm, pinas_zoo\n"
        f'model = timm.create_model("{config.name}_winner", pretrained=True)  # test accuracy {test:.2%}'
    )
    name = run.space.describe(run.space.parse(arch))
    drawn = run.space.picture(run.space.parse(arch), f"Winner {name}")
    picture = f"<h2>The winner, layer by layer</h2>\n<figure>{drawn}</figure>" if drawn else ""
    trouble = facts["learn"].get("trouble")
    warning = f"<p><strong>Warning:</strong> {html.escape(trouble)}</p>" if trouble else ""
    body = f"""
<h1>{html.escape(config.name)}: the network that the search found</h1>
{warning}
<p><strong>{html.escape(name)}</strong>, {measured}: <strong>{test:.2%}</strong> of {facts["winner"]["test_images"]}
test images right. Found among {len(ranking)} scored of {run.space.size:,} architectures, by
{kind.words} on {facts["explore"]["held_out"]} held-out images in the supernet.</p>
<pre>{html.escape(load)}</pre>
{picture}
<h2>How it was found</h2>
<div class="figures">{"".join(figures)}</div>
<h2>Time and memory</h2>
{_table(["stage", "what came of it", "seconds", "peak memory so far, MiB"], stages, numeric=(2, 3))}
<h2>The ten best candidates</h2>
<p>Ranked by {ranked}. {kind.name.capitalize()} is {kind.words}, in the supernet;
parameters in millions and multiply-adds in billions at
{config.data.image_size} x {config.data.image_size} pixels, without classifier. All are in explore/ranking.csv.</p>
{_table(["rank", "architecture", kind.name, *columns.values()], top, (0, 2, 3, 4, 5, 6))}
{_effects_section(scores, run.space.num_candidates)}
{_tree_section(scores, run.space.num_candidates)}
{_rank_section(run.folder)}
<h2>Configuration</h2>
<pre>{html.escape(config.model_dump_json(indent=1))}</pre>
<p>pinas_zoo {__version__}. Method: {html.escape(method)}.</p>
"""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(config.name)} search report</title><style>{STYLE}</style></head>"
        f"<body>{body}</body></html>"
    )


def _tree_section(scores: Mapping[Arch, Score], num_candidates: int) -> str:
    """The action space that the scored candidates give, whichever sampler proposed them."""
    if len(scores) < LEAST:
        return ""
    svg = figure_svg(tree_figure(scores, num_candidates), "Action space", (7.5, 3.4))
    return f"""<h2>What parts good from bad</h2>
<p>The action space over all {len(scores)} scored candidates: each box has their number and mean score, and
the choices (layer=candidate, layers from 1) that speak most for its left, better side.</p>
<figure class="scroll">{svg[svg.index("<svg") :]}</figure>"""


def _effects_section(scores: Mapping[Arch, Score], num_candidates: int) -> str:
    """What each choice adds to the score on average."""
    found = main_effects({arch: score.accuracy for arch, score in scores.items()}, num_candidates)
    largest = 100 * abs(found.table).max()
    decimals = min(6, max(2, 1 - math.floor(math.log10(largest)))) if largest else 2
    rows = [[str(layer), *(f"{100 * v:+.{decimals}f}" for v in row)] for layer, row in enumerate(found.table, 1)]
    few = f"<p><strong>Warning:</strong> {warning}.</p>" if (warning := found.warning()) else ""
    return f"""<h2>What each choice adds</h2>
{few}
<p>Least squares over all {len(scores)} scored candidates, in percentage points beside their mean of {found.mean:.2%},
scores that lie far from all others drawn in; sums over layers predict {max(0.0, found.explained):.0%} of the variance
of a score that is left out, and {found.reliability:.0%} of what they differ by is more than noise in the scores would
give. That scores mean what they should, no fit can see: a supernet that has learned nothing can have reliable sums.
Layers count from 1, candidates from 0.</p>
{_table(["layer", *(f"candidate {k}" for k in range(num_candidates))], rows, range(num_candidates + 1))}"""


def _rank_section(folder: Path) -> str:
    """Kendall's tau and its scatter plot, when ``pinas-zoo rank`` has written them."""
    if not (folder / "rank.json").is_file():
        return ""
    found = json.loads((folder / "rank.json").read_text(encoding="utf-8"))

    def row(name: str, tau: Mapping[str, float]) -> list[str]:
        return [name, *(f"{tau[key]:+.3f}" for key in ("value", "low", "high"))]

    rows = [
        row("scores in the supernet", found["score"]),
        row("multiply-adds alone", found["flops"]),
        row("difference", found["difference"]),
    ]
    if "effects" in found:  # not where an older version has written it
        rows.append(row("main effects of the scores", found["effects"]["score"]))
        rows.append(row("difference to the scores", found["effects"]["difference"]))
    svg = (folder / "rank.svg").read_text(encoding="utf-8")
    return f"""<h2>Ranking against networks trained alone</h2>
<p>Kendall's tau over {found["count"]} architectures against {html.escape(found["column"])} of
{html.escape(found["truth"])}, with 95% bootstrap intervals.</p>
{_table(["order by", "tau", "from", "to"], rows, (1, 2, 3))}
<figure>{svg[svg.index("<svg") :]}</figure>"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int]) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if k in numeric else ''}>{html.escape(str(cell))}</{tag}>" for k, cell in enumerate(row)
        )

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{lines}</tbody></table></div>'


def save_figure(path: Path, draw: Callable[[Any], None], caption: str) -> None:
    """A file of its own, as SVG; whole or not at all."""
    write_text(path, figure_svg(draw, caption))


def _figure(draw: Callable[[Any], None], caption: str) -> str:
    svg = figure_svg(draw, caption)
    return f"<figure>{svg[svg.index('<svg') :]}<figcaption>{html.escape(caption)}</figcaption></figure>"


def figure_svg(draw: Callable[[Any], None], caption: str, inches: tuple[float, float] = (4.2, 2.6)) -> str:
    """An SVG by matplotlib, without a display and without global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": caption, "font.size": 9}):
        figure = Figure(figsize=inches, layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": caption})
    return buffer.getvalue()


def _curve(columns: Mapping[str, Sequence[float]], key: str) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        axes.plot(columns["step"], columns[key], linewidth=1)
        axes.set(xlabel="step", ylabel=key)

    return draw


def _histogram(scores: Sequence[Score], name: str) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        axes.hist([100 * s.accuracy for s in scores], bins=min(20, max(5, len(scores) // 5)))
        axes.locator_params(axis="x", nbins=5)
        axes.set(xlabel=f"{name}, %", ylabel="architectures")

    return draw


def random_draws(options: config.Explore) -> int:
    """How many of the first candidates the sampler draws uniformly."""
    first = {"nsga2": options.population, "random": options.evaluations}
    return first.get(options.sampler, options.random_first)


def _best_so_far(scores: Sequence[Score], first: int, name: str) -> Callable[[Any], None]:
    values = np.array([100 * score.accuracy for score in scores])
    random_search = expected_best(values[:first], len(values))

    def draw(axes: Any) -> None:
        axes.plot(values, ".", markersize=3, alpha=0.5)
        axes.plot(np.maximum.accumulate(values), linewidth=1, label="this search")
        axes.plot(random_search, "--", linewidth=1, label=f"random search, by the first {min(first, len(values))}")
        axes.legend(frameon=False, fontsize=7, loc="lower right")
        axes.set(xlabel="evaluation", ylabel=f"{name}, %")

    return draw


def expected_best(sample: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Expected best of 1, 2, … ``count`` independent draws from a sample; it cannot exceed the sample's best."""
    order = np.sort(sample)
    below = np.arange(len(order) + 1) / len(order)  # share of the sample below the k-th
    draws = np.arange(1, count + 1)[:, None]
    return (order * (below[1:] ** draws - below[:-1] ** draws)).sum(1)


def _cost(ranking: Sequence[Mapping[str, str]], name: str) -> Callable[[Any], None]:
    points = sorted((float(row["flops_g"]), 100 * float(row["accuracy"])) for row in ranking)
    front, best = [], float("-inf")
    for flops, accuracy in points:
        if accuracy > best:
            best = accuracy
            front.append((flops, accuracy))

    def draw(axes: Any) -> None:
        axes.plot(*zip(*points, strict=True), ".", markersize=3, alpha=0.5)
        axes.plot(*zip(*front, strict=True), drawstyle="steps-post", linewidth=1)
        axes.locator_params(axis="x", nbins=5)
        axes.set(xlabel="multiply-adds, G", ylabel=f"{name}, %")

    return draw
