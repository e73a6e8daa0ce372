"""The stages of ``benchmarks/gpu.py`` in order of worth, their shares of the time, and the question of each row.

This module imports nothing heavy: the driver reads it to say what is still open.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        seconds: Time limit at ``--minutes 9``; other budgets scale it.
        asks: What the stage answers, in one line.
        questions: Rows in the order in which they are measured: name, and the question in words.
    """

    seconds: int
    asks: str
    questions: dict[str, str]


def _network(setting: str) -> str:
    return f"logits and features of a network, {setting}, against the reference numbers"


def _step(setting: str) -> str:
    return f"one Π-NAS step, {setting}: loss and gradient norms against the reference numbers"


def _speed(names: dict[str, str], ways: tuple[str, ...]) -> dict[str, str]:
    return {
        f"{name}_{way}_{precision}": f"{words}, {way.replace('_', ' and ')}, {precision}: images/s and memory"
        for way in ways
        for precision in ("tf32", "bf16")
        for name, words in names.items()
    }


NETWORKS = {
    "resnest50d": "timm's resnest50d",
    "pinas_cls": "pinas_cls",
    "resnet50": "resnet50",
    "pinas_trans": "pinas_trans",
    "efficientnet_b3": "efficientnet_b3, 300 pixels",
}
OURS = {name: words for name, words in NETWORKS.items() if name.startswith("pinas")}
PAIR = {name: NETWORKS[name] for name in ("resnest50d", "pinas_cls")}
OTHERS = {name: words for name, words in NETWORKS.items() if name not in PAIR}

STAGES = {
    "right": Stage(
        170,
        "Does a card compute what the reference numbers and a CPU say?",
        {
            "network_fp32": _network("fp32 without TF32"),
            "network_tf32": _network("TF32"),
            "network_bf16": _network("bf16 autocast"),
            "network_fp16": _network("fp16 autocast"),
            "network_channels_last": _network("fp32, channels-last"),
            "step_fp32": _step("fp32 without TF32"),
            "step_tf32": _step("TF32"),
            "step_bf16": _step("bf16 autocast"),
            "step_fp16": _step("fp16 autocast"),
            "step_channels_last": _step("fp32, channels-last"),
            "pooling": "gradients of average pooling with padding, channels-last, against fp64",
            "group": "a step in an NCCL group of one process, and DDP with SyncBN, equal those without a group",
            "determinism": "two runs of three steps under torch.use_deterministic_algorithms are equal to the bit",
            "resume": "a search learned in part on the card, then on a CPU, then finished on the card",
            "tests": "the tests marked gpu pass",
            "memory": "memory after 1,000 scored candidates equals that after 10",
            "network_compiled": _network("torch.compile"),
            "demo": "the whole search configs/search/digits.py, on the card",
        },
    ),
    "table2": Stage(
        140,
        "What are the speeds and memory of Table 2 on this card?",
        {
            **_speed(NETWORKS, ("eager",)),
            **_speed(PAIR, ("compiled",)),
            **_speed(OURS, ("fused",)),
            **_speed({"pinas_cls": "pinas_cls"}, ("fused_compiled",)),
            **_speed(OTHERS, ("compiled",)),
        },
    ),
    "learn_step": Stage(
        110,
        "Does a training step cost its compute, and how much more than one written as the released code is?",
        {
            "pinas_bf16": "a Π-NAS step, 192 images of 224 pixels in groups of 24, 49,152 negatives, bf16",
            "pinas_tf32": "the same in TF32",
            "spos_bf16": "an SPOS step, 192 images, bf16",
            "spos_tf32": "the same in TF32",
            "linear_bf16": "a step of linear evaluation, 256 images in groups of 32, bf16",
            "linear_tf32": "the same in TF32",
        },
    ),
    "explore": Stage(
        35,
        "How many candidates a minute are scored?",
        {"candidates": "candidates of the paper's space a minute, scored together and one by one"},
    ),
    "data": Stage(
        45,
        "Which way of making views feeds a step?",
        {
            "device": "four views of decoded images, made on the card: images/s",
            "files": "four views of JPEGs, made by the loader's workers: images/s",
        },
    ),
    "evidence": Stage(
        40,
        "Does a supernet of NAS-Bench-201 at the benchmark's own size rank its architectures?",
        {
            "pinas": "Kendall's tau of Π-NAS: 16 channels, 5 cells a stage, 32 x 32 pixels, 729 architectures",
            "spos": "the same for SPOS",
        },
    ),
}
