"""Evaluation agrees with timm's own loop of validation, and its numbers with their definitions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.utils import accuracy as timm_accuracy
from torch import nn

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.images import Images
from pinas_zoo.data.options import Data, Views
from pinas_zoo.data.splits import load_split
from pinas_zoo.errors import UserError
from pinas_zoo.train.evaluate import (
    Predictions,
    accuracy,
    accuracy_and_loss,
    calibration,
    match_classes,
    predict,
    results,
)
from pinas_zoo.train.images import TransformedImages
from pinas_zoo.train.results_page import write_page
from tests.train.pictures import picture_folder

CLASSES = ("amber", "blue", "cyan")


def as_timm_validates(model: Any, root: Path, batch_size: int) -> tuple[torch.Tensor, float, float]:
    """Logits and accuracies by the steps of timm's validate.py."""
    config = resolve_data_config({}, model=model, use_test_size=True)
    dataset = create_dataset(root=str(root), name="", split="validation")
    loader = create_loader(
        dataset, input_size=config["input_size"], batch_size=batch_size, device=torch.device("cpu"),
        interpolation=config["interpolation"], mean=config["mean"], std=config["std"], num_workers=0,
        crop_pct=config["crop_pct"], crop_mode=config["crop_mode"], pin_memory=False,
    )  # fmt: skip
    with torch.inference_mode():
        pairs = [(model(x), target) for x, target in loader]
    logits, target = (torch.cat(column) for column in zip(*pairs, strict=True))
    top1, top2 = timm_accuracy(logits, target, topk=(1, 2))
    return logits, float(top1), float(top2)


@pytest.mark.parametrize(
    ("name", "args"),
    [("resnest50d", {}), ("pinas", {"arch": "3013231203213032"}), ("pinas", {"arch": "1" * 16})],
    ids=["resnest50d", "alpha", "ones"],
)
def test_predictions_are_those_of_timms_validation(name, args, tmp_path):
    root = picture_folder(tmp_path, train=1, test=5, suffix=".jpg")
    torch.manual_seed(0)
    cfg = dict(input_size=(3, 64, 64), crop_pct=0.875)
    model: Any = timm.create_model(name, num_classes=3, pretrained_cfg_overlay=cfg, **args)
    model.fc.weight.data.normal_()  # so that the images of different classes get different predictions
    with torch.no_grad():
        model.train()(torch.randn(8, 3, 64, 64))
    model.eval()
    logits, top1, top2 = as_timm_validates(model, root, batch_size=4)
    images, names = load_split(Data(root=str(root)), "validation")
    config = resolve_data_config({}, model=model, use_test_size=True)
    normalise = BatchViews(Views(), config["mean"], config["std"]).normalise
    found = predict(model, TransformedImages(images, config), normalise, 4, match_classes(names, model)[0])
    values, classes = logits.softmax(1).topk(3)
    assert torch.equal(found.classes, classes)
    torch.testing.assert_close(found.probabilities, values, rtol=1e-3, atol=1e-5)
    facts = results(found, names)
    assert facts["top1"] == pytest.approx(top1 / 100)
    assert float((found.classes[:, :2] == found.labels[:, None]).any(1).double().mean()) == pytest.approx(top2 / 100)
    value, loss = accuracy(model, TransformedImages(images, config), normalise, 4)
    assert (value, loss) == pytest.approx((facts["top1"], facts["loss"]), rel=1e-4)


@pytest.mark.parametrize(
    "logits", [[0.0, 100.0, -3.0], [-math.inf, 0.0, 1.0], [math.nan, 0.0, 1.0], [math.inf, 0.0, 1.0]]
)
def test_both_evaluations_have_one_loss_however_large(logits):
    """An epoch with the short evaluation and the last one with the full refuse the same networks."""

    class Constant(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return torch.tensor([logits]).expand(len(input), 3)

    images = Images(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 2]))
    short = accuracy(Constant(1, 1), images, torch.Tensor.float, 4)[1]
    full = accuracy_and_loss(predict(Constant(1, 1), images, torch.Tensor.float, 4))[1]
    assert full == pytest.approx(short, nan_ok=True)
    assert full > 40 or not math.isfinite(full)


def some() -> Predictions:
    """Four images of three classes; the third is wrong, and the network is sure of it."""
    labels = torch.tensor([0, 0, 1, 2])
    classes = torch.tensor([[0, 1, 2], [0, 2, 1], [2, 1, 0], [2, 0, 1]])
    values = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.9, 0.06, 0.04], [0.9, 0.06, 0.04]])
    return Predictions(labels, classes, values, torch.tensor([0.6, 0.6, 0.06, 0.9]).log(), 1.0, 1.0, 1.0)


def test_numbers():
    facts = results(some(), CLASSES)
    assert facts["top1"] == 0.75
    assert facts["top5"] == 1.0
    assert [c["top1"] for c in facts["per_class"]] == [1.0, 0.0, 1.0]
    assert facts["mean_class_top1"] == pytest.approx(2 / 3)
    bins, error = calibration(some())
    assert [b["images"] for b in bins] == [2, 2]
    assert error == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert facts["calibration_error"] == error


def test_classes_are_matched_by_name_or_by_order():
    model: Any = timm.create_model("test_resnet", num_classes=3)
    assert match_classes(CLASSES, model) == ([0, 1, 2], CLASSES)
    model.pretrained_cfg["label_names"] = ["cyan", "blue", "amber"]
    assert match_classes(CLASSES, model) == ([2, 1, 0], ("cyan", "blue", "amber"))
    assert match_classes(("blue",), model)[0] == [1]
    with pytest.raises(UserError, match=r"3 classes \(cyan, blue, amber\), got 2 .* does not have green; rename"):
        match_classes(("blue", "green"), model)
    with pytest.raises(UserError, match=r"does not have 4, 5, 6, and 2 more; rename the folders, or fine-tune"):
        match_classes(("4", "5", "6", "7", "8"), model)
    imagenet: Any = timm.create_model("test_resnet")
    assert match_classes(("n01440764", "n01443537"), imagenet)[0] == [0, 1]
    with pytest.raises(UserError, match="1000 classes"):
        match_classes(CLASSES, imagenet)


def test_the_page_shows_mistakes_and_escapes_names(tmp_path):
    root = picture_folder(tmp_path / "images", train=1, test=1, classes=("amber", "blue", "cyan", "dark"))
    images, _ = load_split(Data(root=str(root)), "validation")
    names = ("amber", "<script>alert(1)</script>", "cyan")
    facts = {
        "network": "<b>net", "data": "images", "image_size": 32, "batch_size": 4, "device": "cpu", "precision": "fp32",
        **results(some(), names),
    }  # fmt: skip
    write_page(tmp_path / "page.html", facts, some(), images, names)
    text = (tmp_path / "page.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<b>net" not in text
    assert text.count("data:image/jpeg;base64,") == 1
    assert "75.00%" in text
