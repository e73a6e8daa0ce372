"""The authors' evaluation of segmenters, PyTorch-Encoding's: scales and mirror images, in windows of the crop's size.

Table 6 is measured with it. It differs from mmseg's sliding windows and ``SegTTAModel``: images are resized after
normalisation; an image smaller than a window is padded with black; the distance of windows is two thirds of their side,
and the last one reaches over the edge into black padding; the logits of an image and its mirror image are added before
the exponential; the scores of all scales are added without normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmengine.registry import MODELS
from mmengine.structures import PixelData
from torch import Tensor
from torch.nn import functional as F


@MODELS.register_module()
class EncodingTTAModel(BaseTTAModel):
    """A ``tta_model`` for a pipeline that loads images and labels and leaves their size alone.

    Args:
        module: The segmenter.
        base_size: Long side of an image at scale 1.
        crop_size: Side of a window, as in training.
        scales: Factors of ``base_size``.
        kwargs: Arguments of every model for test-time augmentation of mmengine.
    """

    def __init__(self, module: Any, base_size: int, crop_size: int, scales: Sequence[float], **kwargs: Any):
        super().__init__(module, **kwargs)
        self.base_size, self.crop_size, self.scales = base_size, crop_size, tuple(scales)

    def test_step(self, data: Mapping[str, Any]) -> list[Any]:
        """Samples with ``pred_sem_seg`` in the sizes of the images, which mmseg loads one by one."""
        data = self.module.data_preprocessor(data, False)
        for image, sample in zip(data["inputs"], data["data_samples"], strict=True):
            sample.set_data({"pred_sem_seg": PixelData(data=self.scores(image[None]).argmax(1))})
        return list(data["data_samples"])

    def merge_preds(self, data_samples_list: Any) -> Any:
        """Returns its argument: :meth:`scores` has merged the scales already."""
        return data_samples_list

    @torch.no_grad()
    def scores(self, image: Tensor) -> Tensor:
        """1 x 3 x H x W, normalised, to 1 x classes x H x W."""
        height, width = image.shape[2:]
        total = image.new_zeros(())
        for scale in self.scales:
            size = scaled_size(height, width, math.ceil(self.base_size * scale))
            resized = F.interpolate(image, size, mode="bilinear", align_corners=True)
            total = total + F.interpolate(
                self._in_windows(resized), (height, width), mode="bilinear", align_corners=True
            )
        return total

    def _in_windows(self, image: Tensor) -> Tensor:
        """1 x 3 x h x w to 1 x classes x h x w: the mean over the windows that cover a pixel."""
        side = self.crop_size
        padded = self._fill(image)
        total, count = image.new_zeros(()), image.new_zeros(1, 1, *padded.shape[2:])
        for top in starts(padded.shape[2], side):
            for left in starts(padded.shape[3], side):
                window = padded[:, :, top : top + side, left : left + side]
                h, w = window.shape[2:]
                answer = self._answer(self._fill(window))[:, :, :h, :w]
                if not total.ndim:
                    total = image.new_zeros(1, answer.shape[1], *padded.shape[2:])
                total[:, :, top : top + h, left : left + w] += answer
                count[:, :, top : top + h, left : left + w] += 1
        return (total / count)[:, :, : image.shape[2], : image.shape[3]]

    def _answer(self, window: Tensor) -> Tensor:
        """exp of the logits of a window and of its mirror image, added."""
        both = torch.cat([window, window.flip(3)])
        meta = dict(img_shape=tuple(window.shape[2:]), ori_shape=tuple(window.shape[2:]))
        logits = self.module.encode_decode(both, [meta, meta])
        return (logits[:1] + logits[1:].flip(3)).exp()

    def _fill(self, image: Tensor) -> Tensor:
        """Pad an image that is smaller than a window with black, below and to the right."""
        down, right = (max(0, self.crop_size - side) for side in image.shape[2:])
        preprocessor = self.module.data_preprocessor
        black = -(preprocessor.mean / preprocessor.std).view(1, 3, 1, 1)
        inside = F.pad(torch.ones_like(image[:, :1]), (0, right, 0, down))
        return F.pad(image, (0, right, 0, down)) + black * (1 - inside)


def scaled_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Height and width of an image whose long side is brought to ``long_side``.

    >>> scaled_size(300, 400, 520)
    (390, 520)
    """
    if height > width:
        return long_side, int(width * long_side / height + 0.5)
    return int(height * long_side / width + 0.5), long_side


def starts(length: int, side: int) -> Iterator[int]:
    """Where windows of ``side`` begin along ``length``, which is no smaller.

    >>> list(starts(1040, 480))
    [0, 320, 640]
    """
    step = int(side * 2.0 / 3.0)
    return iter(range(0, math.ceil((length - side) / step) * step + 1, step))
