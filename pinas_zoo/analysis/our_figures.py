"""Our figures beside those of the paper: values that were measured, or the command that measures one.

``pinas-zoo paper`` and docs/paper.md print them. A figure goes here only if its protocol is the printed one's, or if
``source`` says in what it differs. A place without an entry is printed as not measured yet.

To add a measurement, put its value, command and source into :data:`OURS`. The taus of Figure 3 (supernet of five
operations, 729 ranked) belong to ``("figure 3", "Π-NAS", "tau")`` and ``("figure 3", "SPOS", "tau")``.

This module imports nothing but the paper's tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from pinas_zoo.analysis.paper_tables import TABLES

Place = tuple[str, str, str]  # "table 1", "figure 3" or "section 4.1"; row; column


@dataclass(frozen=True)
class Ours:
    """What this package has for one printed value.

    Attributes:
        command: Measures it, in a shell.
        value: Measured with it; empty: not measured here.
        source: Where it was measured and how it differs from the printed one's protocol; empty for exact counts.
    """

    command: str
    value: str = ""
    source: str = ""


def _info(name: str, params: str, flops: str, options: str = "", source: str = "") -> dict[str, Ours]:
    command = f"pinas-zoo info {name}{options}"
    return {"Params": Ours(command, params, source), "FLOPs": Ours(command, flops, source)}


def _same(columns: tuple[str, ...], ours: Ours) -> dict[str, Ours]:
    return dict.fromkeys(columns, ours)


def _segmenter(config: str) -> Ours:
    return Ours(f"tools/dist_train.sh {config} 8; tools/dist_test.sh {config} CHECKPOINT 8 --tta")


_ACC_S = {"Acc@S": Ours("pinas-zoo search resnest50_imagenet/explore")}
_ALPHA = _info("pinas_alpha", "27.046M", "5.377G")
_RESNEST = _info("resnest50d", "27.483M", "5.416G")
_EFFICIENTNET = "timm's network; SiLU is not counted, and would add 0.021 G, so 1.88 is not explained here"
_ROWS = {
    ("table 1", "ResNeSt-50"): _RESNEST | _ACC_S,
    ("table 1", "Π-NAS-α"): _ALPHA | _ACC_S,
    ("table 1", "Π-NAS-γ"): _info("pinas_gamma", "27.039M", "5.301G") | _ACC_S,
    **{
        ("table 1", f"Π-NAS-{letter}"): _info(f"pinas_{name}", "", "", " --arch ARCH")
        for letter, name in (("β", "beta"), ("δ", "delta"), ("ε", "epsilon"))
    },
    ("table 2", "ResNet-50"): _info("resnet50", "25.557M", "4.122G"),
    ("table 2", "EfficientNet-B3†"): _info("efficientnet_b3", "12.233M", "1.875G", " --image-size 300", _EFFICIENTNET),
    ("table 2", "ResNeSt-50"): _RESNEST,
    ("table 2", "Π-NAS-cls"): _ALPHA,
    **{
        ("table 5", row): _same(
            TABLES[5].columns[1:],
            Ours(f"tools/dist_train.sh configs/det/mask-rcnn_{name}_fpn_syncbn_1x_coco.py 8"),
        )
        for row, name in (
            ("ResNet-50", "r50"),
            ("ResNeSt-50", "resnest50"),
            ("Π-NAS-cls", "pinas_cls"),
            ("Π-NAS-trans", "pinas_trans"),
        )
    },
    **{
        ("table 6", row): {
            **_same(
                TABLES[6].columns[1:3],
                _segmenter(f"configs/seg/deeplabv3_{name}-d8_120e_ade20k-480x480.py"),
            ),
            TABLES[6].columns[3]: _segmenter(f"configs/seg/deeplabv3_{name}-d8_240e_cityscapes-768x768.py"),
        }
        for row, name in (("ResNet-50", "r50"), ("ResNeSt-50", "resnest50"), ("Π-NAS-trans", "pinas_trans"))
    },
}
_NB201 = (
    "pinas-zoo evidence nasbench201 --images IMAGES --truth CSV --threads 1 --minutes 12 --count 150 --sizes 15625 "
    "--runs pinas spos --seeds 0 1"
)
_FIGURE_3 = (
    "pinas-zoo evidence nasbench201 --images IMAGES --truth CSV --threads 1 --minutes 12 --count 150 --sizes 15625 "
    "--subspace 729 --runs pinas spos --seeds 0 1"
)
_RIVALS = (
    "pinas-zoo evidence nasbench201 --images IMAGES --truth CSV --threads 1 --minutes 12 --count 150 --sizes 15625 "
    "--runs proxylessnas wpl gdas_nsas --seeds 0 1"
)
_CHOSEN = (
    "seeds 0 and 1, 12 minutes on one core of an AMD EPYC, images of 16 x 16; the architecture that learning chose"
)
_EFFECTS = (
    "seeds 0 and 1, 12 minutes on one core, images of 16 x 16; ranked by main effects of the consistency of 150 paths, "
    "not by accuracies of a linear classifier; seed 0 on an AMD EPYC, seed 1 on an Intel Xeon by version 0.1.0 "
    "(benchmarks/results/nb201.md)"
)
_ACCURACIES = (
    "seeds 0 and 1, 12 minutes on one core of an AMD EPYC, images of 16 x 16; ranked, as in the paper, by the accuracy "
    "of the shared classifier, of 150 random ones of the 729. By consistency: Π-NAS 0.67, 0.72, SPOS 0.60, 0.60 "
    "(benchmarks/results/nb201.md)"
)
_SECTION = {  # sec. 4.1: stage and setting: ours in configs/search/resnest50_imagenet/base.py
    ("space", "architectures"): "space.type='resnest50'",
    ("data", "held-out images per class"): "data.val_per_class=50",
    ("learn", "smoothing coefficient λ of the mean teacher"): "learn.options.momentum=0.999",
    ("learn", "learning rate, cosine"): "learn.lr=0.03",
    ("learn", "momentum"): "learn.momentum=0.9",
    ("learn", "weight decay"): "learn.weight_decay=0.0001",
    ("learn", "epochs"): "learn.epochs=100",
    ("learn", "batch size"): "learn.batch_size=192",
    ("linear", "epochs"): "linear.epochs=100",
    ("linear", "batch size"): "linear.batch_size=256",
    ("linear", "learning rate"): "linear.lr=30.0",
    ("linear", "momentum"): "linear.momentum=0.9",
    ("linear", "weight decay"): "linear.weight_decay=0.0",
    ("linear", "learning rate times 0.1 at epochs"): "linear.milestones=(0.6, 0.8)",
    ("explore", "images for batch norm's statistics"): "explore.recalibration_images=50176",
    ("explore", "samples at most (Action Space)"): "explore.evaluations=1000",
}
_CONFIG = "pinas-zoo search configs/search/resnest50_imagenet/explore.py --dry-run"

OURS: dict[Place, Ours] = {
    **{(place, row, column): ours for (place, row), cells in _ROWS.items() for column, ours in cells.items()},
    ("table 4", "Test(%)", "Ours"): Ours(_NB201, "93.67, 93.67", _EFFECTS),
    ("table 4", "Test(%)", "SPOS"): Ours(_NB201, "93.67, 93.67", _EFFECTS),
    ("table 4", "Test(%)", "ProxylessNAS"): Ours(_RIVALS, "93.42, 93.44", _CHOSEN),
    ("table 4", "Test(%)", "WPL"): Ours(
        _RIVALS,
        "93.67, 93.67",
        f"{_CHOSEN.split(';')[0]}; ranked by main effects of "
        "the consistency of 150 paths, since WPL on random paths chooses none",
    ),
    ("table 4", "Test(%)", "GDAS-NSAS"): Ours(
        _RIVALS,
        "88.77, 92.29",
        f"{_CHOSEN}; 1,200 steps, after which learning warns that its architecture parameters prefer no candidate",
    ),
    ("figure 3", "Π-NAS", "tau"): Ours(_FIGURE_3, "0.04, 0.25", _ACCURACIES),
    ("figure 3", "SPOS", "tau"): Ours(_FIGURE_3, "0.47, 0.22", _ACCURACIES),
    ("figure 6", "Π-NAS", "tau"): Ours(_NB201, "0.596, 0.632", _EFFECTS),
    ("figure 6", "SPOS", "tau"): Ours(_NB201, "0.659, 0.668", _EFFECTS),
    **{("section 4.1", f"{stage}: {name}", "paper"): Ours(_CONFIG, text) for (stage, name), text in _SECTION.items()},
}
REMARKS = {  # place: what belongs beside its table
    "table 1": "`pinas-zoo train NETWORK --config imagenet_fast --data IMAGENET` is the recipe; it was not run here.",
    "table 2": "`python benchmarks/inference.py` measures images/s and memory, on CPUs. DNA, FBNetV2 and TuNAS were "
    "not run at this size.",
    "table 3": "It takes 13 networks, each trained on ImageNet for 270 epochs. With their accuracies in a CSV file, "
    "`pinas-zoo rank RUN --truth CSV` computes the tau. `pinas-zoo study` trains and ranks a list of networks of any "
    "space: [study.md](study.md) did it with small networks on CIFAR-10. `pinas-zoo study resnest50` did it with all "
    "six methods.",
    "table 4": "arch2vec was not run on the benchmark's images. What it finds with the benchmark's own accuracies as "
    "scores: [samplers.md](../benchmarks/results/samplers.md).",
    "table 7": "The same ablations are measured on NAS-Bench-201. Those taus are of other networks and not comparable "
    "with these: [nb201_findings.md](../benchmarks/results/nb201_findings.md#beside-table-7).",
    "section 4.1": "Ours are the defaults of configs/search/resnest50_imagenet/base.py; candidates are those of "
    "pinas_zoo/models/blocks.py.",
}
