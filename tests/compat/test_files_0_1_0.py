"""Python files of methods and spaces that users wrote for version 0.1.0 still run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm

from pinas_zoo.search import search
from pinas_zoo.search.methods.base import Method

FILES = Path(__file__).parent / "files_0_1_0"
SPACES = {
    "sandwich.py": dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8),
    "kernels.py": dict(type=str(FILES / "kernels.py")),
}


@pytest.mark.parametrize("file", SPACES)
def test_the_examples_of_its_docs_run(file, tmp_path, zoo_home):
    sys.modules.pop("pinas_zoo.search.space", None)  # it warns when it is imported
    method = str(FILES / file) if file == "sandwich.py" else "spos"
    config = dict(
        name="old_file",
        space=SPACES[file],
        data=dict(type="digits", image_size=32, val_per_class=8, workers=0),
        learn=dict(method=method, steps=2, batch_size=16),
        explore=dict(evaluations=3, recalibration_images=32),
        train=dict(enabled=False),
    )
    with pytest.warns(FutureWarning, match="pinas_zoo.search.space is now"):
        result = search(config, work_dir=tmp_path / "run", say=lambda text: None)
    assert timm.create_model(f"local-dir:{result.folder / 'winner'}", pretrained=True) is not None


def test_a_warning_by_its_old_name_is_kept():
    class Old(Method):
        title = "Old"

        def trouble(self) -> str:
            return "outputs are alike"

    assert Old().warning() == "outputs are alike"
