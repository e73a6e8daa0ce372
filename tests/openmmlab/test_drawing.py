"""Images that detect and segment refuse before a network is loaded."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mmengine")

from pinas_zoo.openmmlab import drawing
from pinas_zoo.openmmlab.drawing import enlarged, reduced, why_not_drawn


def test_images_that_cannot_be_read_or_resized_are_one_line(tmp_path):
    for name, size in (("wide", (30000, 2)), ("tall", (1, 101)), ("good", (100, 1))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:45])
    for name in ("wide", "tall"):
        assert "at most 100 times as long as it is wide" in why_not_drawn(tmp_path / f"{name}.png")
    assert why_not_drawn(tmp_path / "good.png") is None
    assert "torn.png, which cannot be read" in why_not_drawn(tmp_path / "torn.png")


def test_a_picture_replaces_a_link_in_its_folder(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "out" / "a.png").symlink_to(tmp_path / "kept")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(drawing.launch, "read_config", lambda *_: SimpleNamespace(default_scope="mmseg"))
    monkeypatch.setattr(drawing.launch, "load_model", lambda *_: SimpleNamespace(dataset_meta={"classes": ("a",)}))
    for name, result in (("predict", None), ("classes", []), ("paint", Image.new("RGB", (8, 8)))):
        monkeypatch.setattr(drawing, name, lambda *_, result=result: result)
    args = argparse.Namespace(
        config="", cfg_options=None, out=str(tmp_path / "out"), images=[str(tmp_path / "a.png")],
        weights="", device="cpu", json=False, command="segment",
    )  # fmt: skip
    drawing.draw(args, "mmseg")
    assert (tmp_path / "kept").read_text() == "kept"
    assert Image.open(tmp_path / "out" / "a.png").size == (8, 8)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_objects_of_a_reduced_image_are_in_its_own_pixels():
    """Masks of a hundred objects, or scores of all classes, of a photo of 48 million pixels take gigabytes."""
    image = Image.new("RGB", (400, 100))
    shown = reduced(image, 10_000)
    assert shown.size == (200, 50)
    assert reduced(image, 40_000) is image
    mask = np.zeros((50, 200), np.uint8)
    mask[10:20, 30:60] = 1
    part = {"class": 0, "label": "a", "score": 0.5, "box": [30, 10, 60, 20], "mask": drawing._encoded(mask)}
    found = enlarged(part, shown.size, image.size)
    assert found["box"] == [60, 20, 120, 40]
    assert found["mask"]["size"] == [100, 400]
    inside = np.zeros((100, 400), np.uint8)
    inside[20:40, 60:120] = 1
    assert np.array_equal(drawing._decoded(found["mask"]), inside)
    for classes, most in ((1, 2**22), (150, 894_784)):
        model = SimpleNamespace(dataset_meta={"classes": ("a",) * classes})
        assert drawing.most_pixels(model, "mmseg") == most
