"""Images that detect and segment refuse before a network is loaded."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest
from PIL import Image

pytest.importorskip("mmengine")

from pinas_zoo.openmmlab import drawing
from pinas_zoo.openmmlab.drawing import why_not_drawn


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
    monkeypatch.setattr(drawing.launch, "load_model", lambda *_: None)
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
