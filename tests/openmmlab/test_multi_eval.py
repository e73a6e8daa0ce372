"""The authors' evaluation in windows and scales, against the same rules written pixel by pixel."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

pytest.importorskip("mmseg")
pytest.importorskip("pinas_zoo.openmmlab")

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import MODELS, init_default_scope
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from pinas_zoo.openmmlab.multi_eval import EncodingTTAModel, scaled_size, starts
from tests.convert.authors import MEAN, STD
from tests.golden import seeded_input, shared_dir

ROOT = Path(__file__).parents[2]


class Segmenter(nn.Module):
    """A 3x3 convolution, so that edges, black and mirroring matter; and the place in the window, so that windows do."""

    def __init__(self, place: float, size: int):
        super().__init__()
        self.data_preprocessor = SegDataPreProcessor(mean=MEAN, std=STD, bgr_to_rgb=True, size=(1, 1))
        self.conv = nn.Conv2d(3, 4, size, padding=size // 2)
        self.place = place
        with torch.no_grad():
            self.conv.weight.copy_(seeded_input(self.conv.weight.shape, 1) / 4)

    def encode_decode(self, x, metas):
        ramp = torch.arange(x.shape[3]) / x.shape[3] + torch.arange(x.shape[2])[:, None] ** 2 / 99
        return self.conv(x) + self.place * ramp * torch.tensor([1.0, -1, 2, 0])[:, None, None]

    def test_step(self, data):
        raise AssertionError("the evaluation has its own windows")


@torch.no_grad()
def by_pixel(model: Segmenter, image: torch.Tensor, base: int, side: int, scales: list[float]) -> torch.Tensor:
    """Every window is an image of its own: black where the picture has ended; its answers are noted pixel by pixel."""
    _, height, width = image.shape
    total = torch.zeros(4, height, width)
    black = -torch.tensor(MEAN) / torch.tensor(STD)
    for scale in scales:
        long = math.ceil(base * scale)
        h, w = (long, int(width * long / height + 0.5)) if height > width else (int(height * long / width + 0.5), long)
        small = F.interpolate(image[None], (h, w), mode="bilinear", align_corners=True)[0]
        answers: dict[tuple[int, int], list[np.ndarray]] = {}
        step = int(side * 2 / 3)
        for row in range(max(0, math.ceil((h - side) / step)) + 1):
            for column in range(max(0, math.ceil((w - side) / step)) + 1):
                window = black[:, None, None].repeat(1, side, side)
                part = small[:, row * step : row * step + side, column * step : column * step + side]
                window[:, : part.shape[1], : part.shape[2]] = part
                there = model.encode_decode(window[None], [])[0]
                back = model.encode_decode(window[None].flip(3), [])[0].flip(2)
                answer = (there + back).exp().numpy()
                for y in range(part.shape[1]):
                    for x in range(part.shape[2]):
                        answers.setdefault((row * step + y, column * step + x), []).append(answer[:, y, x])
        mean = torch.zeros(4, h, w)
        for (y, x), found in answers.items():
            mean[:, y, x] = torch.from_numpy(np.mean(found, axis=0))
        total += F.interpolate(mean[None], (height, width), mode="bilinear", align_corners=True)[0]
    return total


@pytest.mark.parametrize("shape", [(20, 31), (37, 18), (24, 24)])
def test_scores_are_those_of_the_rules(shape):
    model = Segmenter(place=0.3, size=3)
    image = seeded_input((3, *shape), 2)
    scales = [0.5, 1.0, 1.75]
    found = EncodingTTAModel(model, base_size=30, crop_size=24, scales=scales).scores(image[None])[0]
    torch.testing.assert_close(found, by_pixel(model, image, 30, 24, scales), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_model_without_surroundings_sees_no_windows():
    """A 1x1 convolution: whatever the windows, exp(2 logits) of the resized images, resized back and added."""
    model, image = Segmenter(place=0.0, size=1), seeded_input((1, 3, 40, 53), 3)
    expected = 0
    for size in ((30, 40), (60, 80)):
        logits = model.conv(F.interpolate(image, size, mode="bilinear", align_corners=True))
        expected = expected + F.interpolate((2 * logits).exp(), (40, 53), mode="bilinear", align_corners=True)
    found = EncodingTTAModel(model, base_size=40, crop_size=24, scales=[1.0, 2.0]).scores(image)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_samples_get_the_best_class_at_the_image_s_size():
    model = Segmenter(place=0.0, size=1)
    tta = EncodingTTAModel(model, base_size=53, crop_size=24, scales=[1.0])
    image = torch.randint(0, 256, (3, 40, 53), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    sample = SegDataSample(metainfo=dict(img_shape=(40, 53), ori_shape=(40, 53)))
    (found,) = tta.test_step({"inputs": [image], "data_samples": [sample]})
    rgb = (image.flip(0).float() - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        best = model.conv(rgb[None]).argmax(1)
    assert found.pred_sem_seg.data.shape == (1, 40, 53)
    assert (found.pred_sem_seg.data == best).float().mean() == 1


def test_windows_cover_everything():
    for side in (24, 480, 768):
        for length in range(side, 4 * side, 7):
            begins = list(starts(length, side))
            assert begins[0] == 0
            assert begins[-1] + side >= length
            assert all(b - a == int(side * 2 / 3) for a, b in pairwise(begins))
            assert len(begins) == 1 or begins[-2] + side < length
    assert scaled_size(1024, 2048, 4608) == (2304, 4608)
    assert scaled_size(640, 480, 260) == (260, 195)


@pytest.mark.parametrize(
    ("config", "base", "crop", "scales"),
    [
        ("ade20k-480x480", 520, 480, [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]),
        ("cityscapes-768x768", 2048, 768, [0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25]),
    ],
)
def test_our_configs_name_it_with_the_authors_numbers(config, base, crop, scales):
    (file,) = (ROOT / "configs/seg").glob(f"deeplabv3_pinas_trans-d8_*_{config}.py")
    tta = Config.fromfile(file).tta_model
    assert tta == dict(type="EncodingTTAModel", base_size=base, crop_size=crop, scales=scales)


def test_an_image_of_ade20k_goes_through_the_config_s_pipeline():
    """Built from the config with a tiny network and windows, as tools/test.py --tta builds it."""
    data = shared_dir() / "data" / "ADEChallengeData2016"
    cfg = Config.fromfile(ROOT / "configs/seg/deeplabv3_pinas-d8_120e_ade20k-480x480.py")
    cfg.merge_from_dict(
        {
            "model.backbone": dict(arch="3012", depths=(1, 1, 1, 1), widths=(16, 32, 64, 128), stem_width=8),
            "model.decode_head": dict(in_channels=512, channels=32),
            "model.auxiliary_head": dict(in_channels=256, channels=32),
            "tta_model": dict(base_size=64, crop_size=48, scales=[0.5, 1.0]),
        }
    )
    init_default_scope("mmseg")
    model = MODELS.build(dict(**cfg.tta_model, module=cfg.model)).eval()
    name = "ADE_val_00000001"
    packed = Compose(cfg.tta_pipeline)(
        dict(
            img_path=str(data / f"images/validation/{name}.jpg"),
            seg_map_path=str(data / f"annotations/validation/{name}.png"),
            reduce_zero_label=True,
            seg_fields=[],
        )
    )
    (found,) = model.test_step({key: [value] for key, value in packed.items()})
    labels = torch.from_numpy(np.array(Image.open(data / f"annotations/validation/{name}.png"))).long()
    assert found.pred_sem_seg.data.shape == found.gt_sem_seg.data.shape == (1, *labels.shape)
    assert torch.equal(found.gt_sem_seg.data[0].long(), torch.where(labels == 0, 255, labels - 1))
    assert int(found.pred_sem_seg.data.max()) < 150
