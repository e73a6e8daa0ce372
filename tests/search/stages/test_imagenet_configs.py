"""ImageNet's configurations, a stage each, on a folder of a few small JPEGs that are read as they are needed."""

from __future__ import annotations

import pytest

from pinas_zoo.search.config import load_config
from tests.data.test_images import write_folder
from tests.search.test_pipeline import ROOT, search

SMALL = {
    "space.depths": "(1,1,1,1)",
    "space.widths": "(16,16,16,16)",
    "data.image_size": "32",
    "data.memory_gib": "0",
    "data.val_per_class": "2",
    "data.workers": "1",
    "learn.epochs": "1",
    "learn.batch_size": "4",
    "learn.options.queue_size": "16",
    "learn.options.batch_norm_images": "2",
    "linear.epochs": "2",
    "linear.batch_size": "4",
    "linear.batch_norm_images": "2",
    "explore.evaluations": "3",
    "explore.batch_size": "4",
    "explore.recalibration_images": "8",
}


def small(**more: str) -> list[str]:
    return [word for key, value in {**SMALL, **more}.items() for word in ("--set", f"{key}={value}")]


def test_stages_go_on_in_one_run_folder(tmp_path):
    images = write_folder(tmp_path / "images", sizes=((40, 60), (30, 30), (64, 48)) * 2)
    words = ["--work-dir", str(tmp_path / "run"), *small(**{"data.root": str(images)})]
    learn = search(*words, home=tmp_path, config="resnest50_imagenet/learn")
    assert learn.returncode == 0, learn.stderr
    assert "learn    2 steps" in learn.stdout  # an epoch of 8 training images
    assert "stopped  after learn" in learn.stdout
    assert not (tmp_path / "run" / "linear").exists()
    other = search(*words, "--set", "learn.lr=0.5", home=tmp_path, config="resnest50_imagenet/linear")
    assert other.returncode == 2
    assert "another configuration (learn.lr was 0.03, is 0.5)" in other.stderr
    linear = search(*words, "--set", "data.workers=0", home=tmp_path, config="resnest50_imagenet/linear")
    assert linear.returncode == 0, linear.stderr
    assert "learn    complete already" in linear.stdout
    assert "linear   4 steps" in linear.stdout
    explore = search(*words, home=tmp_path, config="resnest50_imagenet/explore")
    assert explore.returncode == 0, explore.stderr
    assert "linear   complete already" in explore.stdout
    assert "explore  3 of 256 architectures" in explore.stdout
    assert (tmp_path / "run" / "winner" / "model.safetensors").is_file()


@pytest.mark.parametrize("stage", ["learn", "linear", "explore"])
def test_the_papers_numbers(stage):
    """Sec. 4.1, and the released code where the paper is silent."""
    config = load_config(ROOT / "configs" / "search" / "resnest50_imagenet" / f"{stage}.py")
    learn, linear, explore, views = config.learn, config.linear, config.explore, config.views
    assert (learn.epochs, learn.batch_size, learn.lr, learn.momentum, learn.weight_decay) == (100, 192, 0.03, 0.9, 1e-4)
    assert learn.options == {
        "queue_size": 49152, "temperature": 0.2, "momentum": 0.999, "dim": 128, "head_init": "kaiming",
        "batch_norm_images": 24,
    }  # fmt: skip
    assert (views.scale, views.jitter, views.jitter_p) == ((0.2, 1.0), (0.4, 0.4, 0.4, 0.4), 0.8)
    assert (views.gray_p, views.blur_p, views.blur_sigma) == (0.2, 0.5, (0.1, 2.0))
    assert (linear.epochs, linear.batch_size, linear.lr, linear.weight_decay) == (100, 256, 30.0, 0.0)
    assert (linear.milestones, linear.batch_norm_images) == ((0.6, 0.8), 32)
    assert (explore.evaluations, explore.random_first, explore.batch_size) == (1000, 80, 128)
    assert (explore.recalibration_images, explore.recalibration_batch_size) == (8 * 49 * 128, 128)
    crops = explore.recalibration_views
    assert (crops.scale, crops.flip, crops.jitter_p, crops.gray_p, crops.blur_p) == ((0.08, 1.0), 0.5, 0, 0, 0)
    assert config.data.interpolation == "bilinear"
    assert config.data.val_per_class == 50
    assert config.until == {"explore": "train"}.get(stage, stage)
