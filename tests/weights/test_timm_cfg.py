"""A config.json that says how images are prepared: what opens, and what images can be prepared for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import pinas_zoo  # noqa: F401
from pinas_zoo.cli import main
from pinas_zoo.weights.model_folder import save_model_folder
from pinas_zoo.weights.timm_cfg import check_cfg

ARGS = {"arch": "3012", "depths": [1, 1, 1, 1], "widths": [16, 16, 32, 32], "stem_width": 4, "num_classes": 3}


def folder_with(folder: Path, cfg: dict[str, Any], **args: Any) -> Path:
    """A model folder as an earlier version may have left it: its config.json is edited after it was written."""
    model = timm.create_model("pinas", **ARGS)
    save_model_folder(folder, model.state_dict(), ARGS, {"input_size": [3, 32, 32], "num_classes": 3})
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"].update(cfg)
    config["model_args"].update(args)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("cfg", "reason"),
    [
        ({"input_size": [3, 4096, 4096]}, "2048 pixels"),
        ({"crop_pct": 0.001}, "crop_pct=0.001"),
        ({"crop_pct": 5.0}, "crop_pct=5"),
        ({"interpolation": "area"}, "interpolation of nearest"),
    ],
)
def test_a_network_opens_although_no_image_can_be_prepared_for_it(cfg, reason, tmp_path, capsys):
    folder = folder_with(tmp_path / "old", cfg)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    Image.fromarray(np.zeros((40, 40, 3), dtype=np.uint8)).save(tmp_path / "image.png")
    assert main(["classify", str(tmp_path / "image.png"), "--model", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(re.escape(reason), line), line


def test_everything_may_be_dropped_as_in_timm(tmp_path):
    model = timm.create_model(f"local-dir:{folder_with(tmp_path / 'old', {}, drop_rate=1)}", pretrained=True)
    assert model.drop_rate == 1


@pytest.mark.parametrize("cfg", [{"crop_pct": 1e-7}, {"input_size": [3, 10**6, 10**6]}, {"interpolation": "evil"}])
def test_what_no_version_wrote_is_refused(cfg):
    with pytest.raises(ValueError, match="expected"):
        check_cfg(cfg)
