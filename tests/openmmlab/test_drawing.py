"""Images that detect and segment refuse before a network is loaded."""

from __future__ import annotations

import pytest
from PIL import Image

pytest.importorskip("mmengine")

from pinas_zoo.openmmlab.drawing import why_not_drawn


def test_images_that_cannot_be_read_or_resized_are_one_line(tmp_path):
    for name, size in (("wide", (30000, 2)), ("tall", (1, 101)), ("good", (100, 1))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:45])
    for name in ("wide", "tall"):
        assert "at most 100 times as long as it is wide" in why_not_drawn(tmp_path / f"{name}.png")
    assert why_not_drawn(tmp_path / "good.png") is None
    assert "torn.png, which cannot be read" in why_not_drawn(tmp_path / "torn.png")
