"""Images, weights and options of ``pinas-zoo detect`` and ``segment``, with a small network of random weights."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tests.hostile.commands import Command, run
from tests.hostile.folder_inputs import bomb
from tests.hostile.image_inputs import encoded
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, table
from tests.openmmlab.small import DET, DET_OPTIONS, SEG, SEG_OPTIONS, model_options

TASKS = {"detect": (DET, model_options(DET_OPTIONS)), "segment": (SEG, model_options(SEG_OPTIONS))}
Prepared = Callable[[Path], object]


BOX = ["model.test_cfg.rcnn.max_per_img=100", "model.test_cfg.rpn.max_per_img=1000", "model.test_cfg.rcnn.nms.iou_threshold=0.99"]  # fmt: skip


@functools.cache
def weights(command: str) -> Path:
    """A checkpoint of the command's small network."""
    import torch
    from mmengine.config import DictAction

    from pinas_zoo.openmmlab.launch import load_model, read_config

    config, options = TASKS[command]
    pairs = (option.partition("=") for option in options)
    values = {key: DictAction._parse_iterable(text) for key, _, text in pairs}
    torch.manual_seed(0)
    model = load_model(read_config(config, values), None, "cpu")
    path = Path(tempfile.mkdtemp(prefix="pinas-zoo-hostile-")) / f"{command}.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return path


def draw(command: str, *words: str, image: bytes | Prepared = b"", name: str = "x.png", given: Path | str = "", options: tuple[str, ...] = (), check: Prepared = lambda folder: None) -> Make:  # fmt: skip
    """The command on an image: bytes, or a function that makes the file."""

    def make(folder: Path) -> Command:
        config, own = TASKS[command]
        path = folder / name
        if callable(image):
            image(path)
        else:
            path.write_bytes(image or encoded("PNG", size=(64, 48)))
        line = [command, name, "--config", str(config), "--weights", str(given or weights(command)), "--out", "out"]
        return Command([*line, *words, "--cfg-options", *own, *options], check=check)

    return make


def saved(size: tuple[int, int], mode: str = "RGB", **how: Any) -> Prepared:
    return lambda path: Image.new(mode, size, **how).save(path)


def other(change: Callable[[dict[str, Any]], object]) -> Make:
    """The command with a checkpoint that a function has changed."""

    def make(folder: Path) -> Command:
        import torch

        content = torch.load(weights("detect"), weights_only=True)
        change(content)
        torch.save(content, folder / "w.pth")
        return draw("detect", given="w.pth")(folder)

    return make


def one_picture(folder: Path) -> None:
    assert len(list((folder / "out").iterdir())) == 1


def first_tensor(content: dict[str, Any], value: Any) -> None:
    state = content["state_dict"]
    name = next(name for name, tensor in state.items() if tensor.ndim == 4)
    state[name] = value(state[name])


def _rows() -> dict[str, tuple[Make, Promise]]:
    rows: dict[str, tuple[Make, Promise]] = {}
    for command in TASKS:
        rows |= {
            f"{command}-sound": (draw(command, check=one_picture), Accepted()),
            f"{command}-json": (draw(command, "--json"), Accepted()),
            f"{command}-16-bits": (draw(command, image=saved((64, 48), "I;16"), check=one_picture), Accepted()),
            f"{command}-cmyk": (draw(command, image=saved((64, 48), "CMYK"), name="x.tif", check=one_picture), Accepted()),
            f"{command}-1x1": (draw(command, image=saved((1, 1))), Either()),
            f"{command}-1x100": (draw(command, image=saved((1, 100))), Either()),
            f"{command}-1x5000": (draw(command, image=saved((1, 5000))), Refused("x.png")),
            f"{command}-48mp": (draw(command, "--json", image=saved((8000, 6000)), check=one_picture, options=tuple(BOX) if command == "detect" else ()), Accepted()),
            f"{command}-bomb": (draw(command, image=bomb()), Refused("x.png")),
            f"{command}-eps": (draw(command, image=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n"), Refused("x.png")),
            f"{command}-torn": (draw(command, image=encoded("PNG", size=(64, 48))[:60]), Refused("x.png")),
            f"{command}-empty": (draw(command, image=lambda path: path.touch()), Refused("x.png")),
            f"{command}-pipe": (draw(command, image=os.mkfifo), Refused("x.png")),
            f"{command}-device": (draw(command, image=lambda path: path.symlink_to("/dev/zero")), Refused("x.png")),
            f"{command}-gone": (draw(command, image=lambda path: None), Refused("x.png")),
            f"{command}-folder": (draw(command, image=lambda path: path.mkdir()), Refused("x.png")),
            f"{command}-name-escape": (draw(command, name="\x1b[2J.png", check=one_picture), Accepted()),
            f"{command}-name-not-utf8": (draw(command, name="z\udce9.png", check=one_picture), Accepted()),
            f"{command}-name-long": (draw(command, name="a" * 250 + ".png"), Either()),
            f"{command}-device-unknown": (draw(command, "--device", "evil"), Refused("--device")),
            f"{command}-device-meta": (draw(command, "--device", "meta"), Refused("--device")),
            f"{command}-weights-pickle": (lambda folder, command=command: ((folder / "w.pth").write_bytes(b"cos\nsystem\n(S'touch EXECUTED'\ntR."), draw(command, given="w.pth")(folder))[1], Refused("w.pth")),
            f"{command}-weights-device": (draw(command, given="/dev/zero"), Refused()),
            f"{command}-weights-of-another": (draw(command, given=weights("segment" if command == "detect" else "detect")), Refused("whole model")),
        }  # fmt: skip
    return rows | {
        "detect-score-nan": (draw("detect", "--score", "nan"), Refused("--score")),
        "detect-score-2": (draw("detect", "--score", "2"), Refused("--score")),
        "detect-config-of-a-segmenter": (lambda folder: (draw("detect")(folder), Command(["detect", "x.png", "--config", str(SEG), "--weights", "w.pth"]))[1], Refused("segment")),
        "detect-out-is-file": (lambda folder: (draw("detect")(folder), (folder / "out").write_text("x"))[0], Refused("--out")),
        "detect-out-below-file": (draw("detect", "--out", "x.png/out"), Refused()),
        "weights-nan": (other(lambda c: first_tensor(c, lambda t: t * float("nan"))), Refused()),
        "weights-shape": (other(lambda c: first_tensor(c, lambda t: t[:1])), Refused("w.pth")),
        "weights-missing": (other(lambda c: c["state_dict"].popitem()), Refused("w.pth")),
        "weights-list": (other(lambda c: c.update(state_dict=[1])), Refused("w.pth")),
        "weights-meta-list": (other(lambda c: c.update(meta=[1])), Either()),
        "weights-classes-list": (other(lambda c: c.update(meta={"dataset_meta": [1]})), Refused("w.pth")),
        "weights-classes-few": (other(lambda c: c.update(meta={"dataset_meta": {"classes": ("a",)}})), Refused()),
        "weights-classes-numbers": (other(lambda c: c.update(meta={"dataset_meta": {"classes": tuple(range(80))}})), Either()),
        "weights-classes-escape": (other(lambda c: c.update(meta={"dataset_meta": {"classes": ("\x1b[2J\n",) * 80}})), Either()),
        "weights-classes-text": (other(lambda c: c.update(meta={"dataset_meta": {"classes": "a" * 80}})), Either()),
        "weights-palette-text": (other(lambda c: c.update(meta={"dataset_meta": {"palette": ["red"] * 80}})), Either()),
        "weights-palette-huge": (other(lambda c: c.update(meta={"dataset_meta": {"palette": [(10**9, -5, 0)] * 80}})), Either()),
    }  # fmt: skip


def inputs() -> tuple[Input, ...]:
    return table("draw", run, _rows())
