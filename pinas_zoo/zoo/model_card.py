"""Model cards made from facts: what a folder's config, weights and provenance say, and nothing else.

Facts that the card reads in ``provenance.json``, all optional:

- ``dataset``: what the weights were trained on; a name, or ``{"name": …, "id": Hub id, "split": …}``;
- ``metrics``: a list of ``{"type": "accuracy", "value": 0.98, "name": …, "dataset": as above}``; a metric without a
  dataset of its own is taken to be of the training set's;
- ``test_accuracy``: short for one such metric, on the split ``test``;
- ``license``, ``score``, ``seed``, ``versions``, ``source``, ``commands``.

``model-index`` in the card's YAML is what the Hub shows as evaluation results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from pinas_zoo.analysis.cost import cost_of, shown_flops
from pinas_zoo.analysis.diagram import HEADINGS, layer_table, table_cells
from pinas_zoo.bounded_reading import is_finite
from pinas_zoo.errors import UserError
from pinas_zoo.models.pinas import spec_of
from pinas_zoo.terminal import escape
from pinas_zoo.weights import entry_points
from pinas_zoo.weights.size_limits import shortened

CITATION = """@inproceedings{peng2021pinas,
  title     = {Pi-NAS: Improving Neural Architecture Search by Reducing Supernet Training Consistency Shift},
  author    = {Peng, Jiefeng and Zhang, Jiqi and Li, Changlin and Wang, Guangrun and Liang, Xiaodan and Lin, Liang},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision (ICCV)},
  pages     = {12354--12364},
  year      = {2021}
}"""
_LONGEST = 300  # characters of one fact
SIZES = ("depths", "widths", "stem_width", "output_stride", "global_pool")


def make_card(
    repo: str, args: Mapping[str, Any], cfg: Mapping[str, Any], facts: Mapping[str, Any], files: Mapping[str, str]
) -> str:
    """The README.md of a Hub repo.

    Args:
        repo: ``owner/name``.
        args: The network's complete arguments.
        cfg: timm's pretrained_cfg.
        facts: As the module says.
        files: sha256 per file that the repo will hold.

    Raises:
        UserError: A fact of a form that the Hub cannot read.
    """
    dataset = _dataset(facts.get("dataset"))
    results = [_result(metric, dataset) for metric in _metrics(facts)]
    data = ModelCardData(
        license=one_line(facts.get("license") or cfg.get("license") or "other"),
        library_name="timm",
        pipeline_tag="image-classification",
        tags=["image-classification", "timm", "pinas-zoo", "neural-architecture-search"],
        datasets=[dataset["id"]] if dataset.get("id") else None,
        model_name=repo.partition("/")[2],
        eval_results=results or None,
        ignore_metadata_errors=False,
    )
    body = "\n\n".join(part for part in _parts(repo, args, cfg, facts, files, dataset, results) if part)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n"))


def _parts(
    repo: str,
    args: Mapping[str, Any],
    cfg: Mapping[str, Any],
    facts: Mapping[str, Any],
    files: Mapping[str, str],
    dataset: Mapping[str, str],
    results: Sequence[EvalResult],
) -> list[str]:
    channels, *size = cfg["input_size"]
    architecture = entry_points.name_in(cfg)
    complete = {**args, "in_chans": channels} if channels != 3 else args
    spec, cost = spec_of(architecture, complete), cost_of(architecture, complete, cfg["input_size"])
    layers: list[str] = []
    if spec is not None:
        sizes = {k: args[k] for k in SIZES if args.get(k) is not None}
        what = (
            "A network of the Π-NAS search space (Peng et al., ICCV 2021): a ResNet with a deep stem and one "
            "split-attention candidate per layer. A timm model for users of `pinas_zoo`."
        )
        layers = [
            "## Layers",
            "Candidates are named as in ResNeSt: radix `s`, cardinality `x`, width `d`. Multiply-adds count "
            "convolutions and the classifier.",
            _markdown(HEADINGS, table_cells(layer_table(spec, (size[0], size[1])))),
        ]
    else:
        sizes = {k: args[k] for k in args if k not in ("arch", "num_classes", "in_chans")}
        what = f"A network of timm's entry point {code_text(architecture)}, found by a search of `pinas_zoo`."
    details = [
        ("Architecture", f"{code_text(args['arch'])}, one candidate per layer"),
        *((name, code_text(value)) for name, value in sizes.items()),
        ("Parameters", f"{cost.params:,}"),
        ("Multiply-adds", f"{shown_flops(cost.macs / 1e9, 3)} for one image of {channels} x {size[0]} x {size[1]}"),
        ("Classes", f"{args['num_classes']:,}"),
        ("Trained on", card_text(dataset.get("name") or "not recorded")),
        ("Licence", card_text(facts.get("license") or cfg.get("license") or "not recorded")),
    ]
    details += [
        (key.capitalize(), _plain(facts[key]))
        for key in ("source", "score", "seed", "versions", "commit", "code", "commands")
        if key in facts
    ]
    metrics = [[card_text(r.metric_name or r.metric_type), _plain(r.metric_value), _where(r)] for r in results]
    return [
        f"# {repo.partition('/')[2]}",
        what,
        "## Use",
        "`pinas_zoo` is not on PyPI. Install it from its clone or its wheel; PATH is the folder or the file.",
        "```\npip install PATH\n```",
        f"```python\nimport pinas_zoo  # registers the networks with timm\nimport timm\n\n"
        f'model = timm.create_model("hf-hub:{repo}", pretrained=True).eval()\n'
        "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))\n```",
        "## Facts",
        _markdown(("", ""), details),
        "## Metrics",
        _markdown(("metric", "value", "on"), metrics) if metrics else "No metrics are recorded for these weights.",
        *layers,
        "## Files",
        _markdown(("file", "sha256"), [(name, f"`{digest}`") for name, digest in files.items()]),
        "## Citation",
        f"```bibtex\n{CITATION}\n```",
    ]


def _metrics(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    metrics = facts.get("metrics")
    if metrics is None and "test_accuracy" in facts:
        metrics = [{"type": "accuracy", "value": facts["test_accuracy"], "dataset": {"split": "test"}}]
    if metrics is None:
        return []
    if isinstance(metrics, Mapping):
        metrics = [{"type": kind, "value": value} for kind, value in metrics.items()]
    if not isinstance(metrics, Sequence) or not all(
        isinstance(m, Mapping) and {"type", "value"} <= set(m) for m in metrics
    ):
        raise UserError(
            f"expected metrics as a list of {{'type', 'value', 'dataset'}} in the facts, got {shortened(metrics)}"
        )
    return list(metrics)


def _result(metric: Mapping[str, Any], trained_on: Mapping[str, str]) -> EvalResult:
    dataset = {**trained_on, **_dataset(metric.get("dataset"))}
    if not dataset.get("name"):
        raise UserError(
            f"expected the data set that {one_line(metric['type'])} = {shortened(metric['value'])} was measured on, "
            "got none; add dataset to the facts, or --dataset NAME"
        )
    return EvalResult(
        task_type="image-classification",
        dataset_type=dataset.get("id") or "-".join(dataset["name"].lower().split()),
        dataset_name=dataset["name"],
        dataset_split=dataset.get("split"),
        metric_type=one_line(metric["type"]),
        metric_name=one_line(metric.get("name") or metric["type"]),
        metric_value=_number(metric),
    )


def _dataset(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"name": one_line(value)}
    if isinstance(value, Mapping):
        return {k: one_line(value[k]) for k in ("name", "id", "split") if value.get(k)}
    raise UserError(f"expected a data set as a name or {{'name', 'id', 'split'}}, got {shortened(value)}")


def _where(result: EvalResult) -> str:
    return card_text(result.dataset_name + (f", {result.dataset_split}" if result.dataset_split else ""))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{card_text(k)} {_plain(v)}" for k, v in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return card_text(value)


def one_line(value: Any) -> str:
    """A fact as one line of text, for the card's YAML too, which a line of ``---`` would end."""
    text = escape(" ".join(str(value).split()))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def card_text(value: Any) -> str:
    """A fact as one line of Markdown that shows it as it is: no link, picture, HTML, table cell or heading of its own.

    Names of data sets, metrics and licences come from folders that somebody else may have made.
    """
    text = re.sub(r"[\\`*_{}\[\]<>|#!~&$]", r"\\\g<0>", one_line(value))
    return re.sub(r"(?i)(https?|ftp)(://)|(www)(\.)", _unlinked, text)  # which GitHub's Markdown makes links


def _unlinked(match: re.Match[str]) -> str:
    word, sign = (match[1], match[2]) if match[1] else (match[3], match[4])
    return f"{word}\\{sign}"


def code_text(value: Any) -> str:
    """A fact as code in one line of Markdown, without the signs that would end the code or a table's cell."""
    return f"`{one_line(value).replace('`', chr(39)).replace('|', '/')}`"


def _number(metric: Mapping[str, Any]) -> float:
    value: float = metric["value"]
    if not is_finite(value):
        raise UserError(
            f"expected a finite number as the metric {one_line(metric['type'])}, got {shortened(value)}; leave it out"
        )
    return value


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
