"""The supplied operators compute what mmcv's are defined to: held against loops and finite differences."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
import torchvision

pytest.importorskip("mmdet")
import pinas_zoo.openmmlab  # noqa: F401  supplies the operators
from pinas_zoo.openmmlab import operators

if operators.live() == "compiled":
    pytest.skip("mmcv is compiled here, and wins", allow_module_level=True)

import mmcv.ops as mmcv_ops


def boxes_and_scores(n: int, seed: int, grid: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Random boxes; on a coarse grid, so that boxes, IoUs and scores tie."""
    g = torch.Generator().manual_seed(seed)
    if grid:
        corner, side = (torch.randint(low, 6, (n, 2), generator=g).float() for low in (0, 0))
        return torch.cat([corner, corner + side], 1), torch.randint(1, 4, (n,), generator=g) / 4
    corner, side = torch.rand(n, 2, generator=g) * 50, torch.rand(n, 2, generator=g) * 30
    return torch.cat([corner, corner + side], 1), torch.rand(n, generator=g)


def iou(a: list[float], b: list[float], offset: int) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area = [(c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b)]
    union = sum(area) - width * height
    return width * height / union if union else math.nan  # nan is above no threshold


def brute_force_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, offset: int) -> list[int]:
    order = sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i))
    kept: list[int] = []
    for i in order:
        if not any(iou(boxes[i].tolist(), boxes[k].tolist(), offset) > threshold for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("grid", [False, True], ids=["random", "ties and empty boxes"])
def test_nms_is_brute_force(offset: int, grid: bool) -> None:
    for seed in range(30):
        boxes, scores = boxes_and_scores(25, seed, grid)
        for threshold in (0.0, 0.35, 0.7):
            dets, kept = mmcv_ops.nms(boxes, scores, threshold, offset=offset)
            assert kept.tolist() == brute_force_nms(boxes, scores, threshold, offset)
            assert torch.equal(dets, torch.cat([boxes[kept], scores[kept, None]], 1))


def test_nms_without_boxes_in_half_precision_and_from_numpy() -> None:
    dets, kept = mmcv_ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)
    boxes, scores = boxes_and_scores(25, 0)
    for dtype in (torch.float16, torch.bfloat16):
        kept = mmcv_ops.nms(boxes.to(dtype), scores.to(dtype), 0.5)[1]
        assert kept.tolist() == brute_force_nms(boxes.to(dtype).float(), scores.to(dtype).float(), 0.5, 0)
    dets, kept = mmcv_ops.nms(boxes.numpy(), scores.numpy(), 0.5, score_threshold=0.3, max_num=3)
    assert isinstance(dets, np.ndarray)
    above = torch.nonzero(scores > 0.3)[:, 0]
    expected = brute_force_nms(boxes[above], scores[above], 0.5, 0)[:3]
    assert kept.tolist() == above[expected].tolist()


def test_batched_nms_keeps_classes_apart() -> None:
    boxes, scores = boxes_and_scores(40, 3)
    classes = torch.arange(40) % 3
    kept = mmcv_ops.batched_nms(boxes, scores, classes, dict(type="nms", iou_threshold=0.4))[1]
    expected = {
        int(c[i])
        for k in range(3)
        for c in [torch.nonzero(classes == k)[:, 0]]
        for i in brute_force_nms(boxes[c], scores[c], 0.4, 0)
    }
    assert set(kept.tolist()) == expected
    assert torch.equal(kept.sort()[0], torchvision.ops.batched_nms(boxes, scores, classes, 0.4).sort()[0])


@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
@pytest.mark.parametrize("offset", [0, 1])
def test_soft_nms_decays_box_by_box(method: str, offset: int) -> None:
    for seed in range(10):
        boxes, scores = boxes_and_scores(15, seed)
        left, expected = {i: float(s) for i, s in enumerate(scores)}, []
        while left:
            best = max(left, key=lambda i: left[i])
            expected.append((best, left.pop(best)))
            for i in list(left):
                overlap = iou(boxes[i].tolist(), boxes[best].tolist(), offset)
                if method == "gaussian":
                    left[i] *= math.exp(-(overlap**2) / 0.5)
                elif overlap >= 0.3:
                    left[i] *= 0.0 if method == "naive" else 1 - overlap
                if left[i] < 0.05:
                    del left[i]
        dets, kept = mmcv_ops.soft_nms(boxes, scores, 0.3, sigma=0.5, min_score=0.05, method=method, offset=offset)
        assert kept.tolist() == [i for i, _ in expected]
        assert torch.allclose(dets[:, 4], torch.tensor([s for _, s in expected]), atol=1e-5)
        assert torch.equal(dets[:, :4], boxes[kept])


def test_soft_nms_without_boxes() -> None:
    dets, kept = mmcv_ops.soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)


ROIS = torch.tensor(
    [
        [0, 1.3, 2.1, 9.7, 11.2],
        [1, -4.0, -3.0, 5.0, 30.0],  # beyond the map
        [1, 6.0, 6.0, 6.0, 6.0],  # no area
        [0, 40.0, 40.0, 50.0, 60.0],  # outside
    ],
    dtype=torch.float64,
)


def bilinear(plane: torch.Tensor, y: float, x: float) -> float:
    """The value of an H x W plane between its pixels; 0 more than a pixel outside."""
    height, width = plane.shape
    if not (-1.0 <= y <= height and -1.0 <= x <= width):
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    top = plane[y0, x0] * (1 - (x - x0)) + plane[y0, x1] * (x - x0)
    bottom = plane[y1, x0] * (1 - (x - x0)) + plane[y1, x1] * (x - x0)
    return float(top * (1 - (y - y0)) + bottom * (y - y0))


def brute_force_roi_align(x: torch.Tensor, rois: torch.Tensor, size: int, scale: float, samples: int) -> torch.Tensor:
    out = torch.zeros(len(rois), x.shape[1], size, size, dtype=x.dtype)
    for r, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (c * scale - 0.5 for c in corners)
        ny = samples or math.ceil((y2 - y1) / size)
        nx = samples or math.ceil((x2 - x1) / size)
        for c in range(x.shape[1]):
            for i in range(size):
                for j in range(size):
                    total = 0.0
                    for a in range(ny):
                        for b in range(nx):
                            yy = y1 + (i + (a + 0.5) / ny) * (y2 - y1) / size
                            xx = x1 + (j + (b + 0.5) / nx) * (x2 - x1) / size
                            total += bilinear(x[int(image), c], yy, xx)
                    out[r, c, i, j] = total / max(ny * nx, 1)
    return out


@pytest.mark.parametrize("samples", [0, 2])
def test_roi_align_is_the_average_of_bilinear_samples(samples: int) -> None:
    x = torch.randn(2, 2, 8, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = mmcv_ops.roi_align(x, ROIS, (3, 3), 0.5, samples, "avg", True)
    assert torch.allclose(ours, brute_force_roi_align(x, ROIS, 3, 0.5, samples), atol=1e-12)
    assert torch.equal(ours, torchvision.ops.roi_align(x, ROIS, (3, 3), 0.5, samples, True))


def test_roi_align_gradient_is_that_of_finite_differences() -> None:
    x = torch.randn(2, 2, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    for aligned in (True, False):
        assert torch.autograd.gradcheck(lambda t, a=aligned: mmcv_ops.roi_align(t, ROIS, (2, 3), 0.7, 0, "avg", a), x)


def test_roi_align_without_rois_and_in_half_precision() -> None:
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    empty = mmcv_ops.roi_align(x, torch.zeros(0, 5), (7, 7), 1.0, 0, "avg", True)
    assert empty.shape == (0, 4, 7, 7)
    empty.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()
    rois = ROIS[:2].float()
    full = mmcv_ops.roi_align(x, rois, (3, 3), 0.5, 2, "avg", True)
    (gradient,) = torch.autograd.grad(full.square().sum(), x)
    for kind, tolerance in ((torch.float16, 2e-2), (torch.bfloat16, 1e-1)):
        half = mmcv_ops.roi_align(x.to(kind), rois.to(kind), (3, 3), 0.5, 2, "avg", True)
        assert half.dtype == kind
        assert torch.allclose(half.float(), full, atol=tolerance)
        (of_half,) = torch.autograd.grad(half.float().square().sum(), x)
        assert torch.allclose(of_half, gradient, atol=tolerance)


@pytest.mark.parametrize("weighted", [False, True])
def test_sigmoid_focal_loss_and_its_gradient(weighted: bool) -> None:
    g = torch.Generator().manual_seed(2)
    logits = (torch.randn(12, 5, dtype=torch.float64, generator=g) * 4).requires_grad_()
    target = torch.randint(0, 6, (12,), generator=g)  # 5 is background
    weight = torch.rand(5, dtype=torch.float64, generator=g) if weighted else None
    loss = mmcv_ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, "none")
    one_hot = torch.nn.functional.one_hot(target, 6)[:, :5].double()
    reference = torchvision.ops.sigmoid_focal_loss(logits, one_hot, alpha=0.25, gamma=2.0, reduction="none")
    if weight is not None:
        reference = reference * torch.cat([weight, torch.ones(1)])[target][:, None]
    assert torch.allclose(loss, reference, atol=1e-12)
    for reduction in ("sum", "mean"):
        assert torch.autograd.gradcheck(
            lambda t, r=reduction: mmcv_ops.sigmoid_focal_loss(t, target, 2.0, 0.25, weight, r), logits
        )


def test_sigmoid_focal_loss_at_the_ends_without_rows_and_in_half_precision() -> None:
    far = torch.tensor([[-100.0, 100.0]], requires_grad=True)
    loss = mmcv_ops.sigmoid_focal_loss(far, torch.tensor([0]), 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss.item() == pytest.approx(0.25 * 100 + 0.75 * 100)
    assert torch.isfinite(far.grad).all()  # type: ignore[arg-type]
    empty = mmcv_ops.sigmoid_focal_loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, "none")
    assert empty.shape == (0, 3)
    half = torch.tensor([[-2.0, 1.0]]).half()
    ours = mmcv_ops.sigmoid_focal_loss(half, torch.tensor([1]), 2.0, 0.25, None, "none")
    assert ours.dtype == torch.float16
    full = mmcv_ops.sigmoid_focal_loss(half.float(), torch.tensor([1]), 2.0, 0.25, None, "none")
    assert torch.allclose(ours.float(), full, rtol=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mmcv_ops.deform_conv2d(
            torch.zeros(1, 1, 4, 4), torch.zeros(1, 18, 4, 4), torch.zeros(1, 1, 3, 3), 1, 1
        ),
        lambda: mmcv_ops.roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), (2, 2), 1.0, 0, "max", True),
        lambda: mmcv_ops.nms_match(torch.zeros(2, 5), 0.5),
    ],
    ids=["deform_conv", "roi_align max", "nms_match"],
)
def test_what_is_not_supplied_says_how_to_get_it(call) -> None:
    with pytest.raises(operators.OperatorMissing, match="compiled mmcv") as error:
        call()
    assert "\n" not in str(error.value)


def test_environment_reports_say_where_operators_come_from() -> None:
    assert "torchvision" in mmcv_ops.get_compiler_version()
    assert operators.live() == "torchvision"


def test_a_compiled_mmcv_wins(tmp_path, monkeypatch) -> None:
    import sys

    import mmcv

    (tmp_path / "_ext.py").write_text("nms = 'compiled'\n")
    monkeypatch.setattr(mmcv, "__path__", [*mmcv.__path__, str(tmp_path)])
    supplied = sys.modules.pop(operators.NAME)
    try:
        operators.supply()
        assert operators.live() == "compiled"
        assert sys.modules[operators.NAME].nms == "compiled"
        (tmp_path / "_ext.py").write_text("raise ImportError('undefined symbol')\n")
        del sys.modules[operators.NAME]
        with pytest.warns(UserWarning, match="undefined symbol"):
            operators.supply()
        assert operators.live() == "torchvision"
    finally:
        sys.modules[operators.NAME] = mmcv._ext = supplied


def test_a_second_supply_keeps_the_module() -> None:
    module = sys.modules[operators.NAME]
    operators.supply()
    assert sys.modules[operators.NAME] is module
