"""The maintained forks onedl-mmcv, onedl-mmdetection and onedl-mmsegmentation: our configs build and train on them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.openmmlab.small import ROOT, data
from tests.test_packaging import environment

# What the extra adds to the running environment, by the versions of constraints.txt.
ADDED = (
    "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "onedl-mmsegmentation", "imaug", "imagecorruptions-imaug",
    "scikit-image", "ImageIO", "tifffile", "lazy-loader", "numba", "llvmlite", "opencv-python-headless",
)  # fmt: skip
SCRIPT = """
import sys
import torch
from pathlib import Path
import mmdet, mmseg
import pinas_zoo.openmmlab
from pinas_zoo import extras
from pinas_zoo.openmmlab import operators
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tests.openmmlab.small import CONFIGS, DET, DET_OPTIONS, SEG, SEG_OPTIONS, tool

env, work_dir, coco, ade = map(Path, sys.argv[1:])
assert env in Path(mmdet.__file__).parents and env in Path(mmseg.__file__).parents, mmdet.__file__
assert extras.missing() == [] and "onedl" in extras.version("mmdet"), extras.version("mmdet")
for path in CONFIGS:
    cfg = Config.fromfile(str(path))
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        MODELS.build(cfg.model)
print("built", len(CONFIGS))
for config, options, root in ((DET, DET_OPTIONS, coco), (SEG, SEG_OPTIONS, ade)):
    args = [str(config), "--data-root", str(root), "--work-dir", str(work_dir / config.stem)]
    assert tool("train").main([*args, "--cfg-options", *options]) == 0
    print("trained", config.stem, operators.live())
"""


def pinned() -> dict[str, str]:
    """Name in lower case: version, of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([\w.-]+)==([\w.]+)", line) for line in lines]
    return {match[1].lower(): match[2] for match in found if match}


def test_the_extra_is_pinned_and_apart() -> None:
    """Its distributions install folders that mmcv-lite, mmdet and mmengine install, too, so no extra asks for both."""
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = {re.split(r"[<>=\[]", requirement)[0] for requirement in extras["onedl"]} - {"pinas-zoo"}
    assert names == {name for name in ADDED if name.startswith("onedl-")}
    assert set(ADDED) <= {name for name in ADDED if name.lower() in pinned()}
    assert not any(requirement.startswith(("mm", "pinas-zoo[search")) for requirement in extras["onedl"])
    assert not any(requirement.startswith(("mm", "onedl")) for requirement in extras["study"])
    assert not any("onedl" in requirement for requirement in extras["dev"])


@pytest.mark.slow
def test_configs_build_and_train_on_the_forks(tmp_path: Path) -> None:
    coco, ade = data("coco_mini"), data("ADEChallengeData2016")
    python, site = environment(tmp_path / "env")
    wanted = [f"{name}=={pinned()[name.lower()]}" for name in ADDED]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python), "install"]
    variables = {**os.environ, "MMCV_WITH_OPS": "0"}  # torchvision's operators are used, as with mmcv-lite
    done = subprocess.run([*pip, "--no-deps", *wanted], env=variables, capture_output=True, text=True, timeout=600)
    if re.search("No matching distribution|[Cc]onnection", done.stderr):
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    result = subprocess.run(
        [str(python), "-c", SCRIPT, *map(str, (site, tmp_path / "runs", coco, ade))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        cwd=tmp_path,
    )
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    assert "built 15" in result.stdout
    assert re.findall(r"trained (\S+)_pinas\S* torchvision", result.stdout) == ["mask-rcnn", "deeplabv3"]
