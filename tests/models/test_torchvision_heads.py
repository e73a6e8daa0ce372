"""torchvision's detector and segmenter on our networks train, detect, and see what timm's networks see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torchvision import datasets, tv_tensors
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.transforms import v2

import pinas_zoo
from pinas_zoo.errors import NotPublished, UserError
from pinas_zoo.models.torchvision_heads import deeplabv3, mask_rcnn
from tests.golden import shared_dir
from tests.networks import TINY, same_weights, tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")
SMALL: dict[str, Any] = {"channels": 16, "representation": 32, "min_size": 96, "max_size": 128}


def anchors() -> AnchorGenerator:
    return AnchorGenerator(tuple((size,) for size in (16, 32, 64, 96, 128)), ((0.5, 1.0, 2.0),) * 5)


def small_mask_rcnn(backbone: str, classes: int = 3, **options: Any) -> Any:
    return mask_rcnn(backbone, classes, rpn_anchor_generator=anchors(), box_detections_per_img=5, **SMALL, **options)


def scene(seed: int, boxes: list[list[float]]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """An image of noise with a bright rectangle for each box, and torchvision's target of it."""
    torch.manual_seed(seed)
    image, masks = torch.rand(3, 96, 128) * 0.3, torch.zeros(len(boxes), 96, 128, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[int(top) : int(bottom), int(left) : int(right)] = 1
        image += mask * 0.7
    labels = torch.ones(len(boxes), dtype=torch.int64)
    return image, {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": labels, "masks": masks}


def test_mask_rcnn_learns_and_detects() -> None:
    pinas_zoo.register("small", arch="3013", **TINY)
    torch.manual_seed(0)
    model = small_mask_rcnn("small", box_score_thresh=0.0)
    images, targets = zip(scene(0, [[10.0, 10, 70, 60]]), scene(1, [[40.0, 20, 120, 90]]), strict=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(5):
        terms = model(list(images), [dict(target) for target in targets])
        loss = sum(terms.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert set(terms) == {"loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert losses[-1] < 0.8 * losses[0]
    model.eval()
    with torch.no_grad():
        found = model([images[0], images[1][:, :80]])
    assert [tuple(f["masks"].shape[1:]) for f in found] == [(1, 96, 128), (1, 80, 128)]
    assert all(len(f["boxes"]) == len(f["scores"]) == 5 for f in found)


def test_images_without_objects_leave_the_norms_finite() -> None:
    """The mask head then sees no region at all."""
    pinas_zoo.register("small", arch="3013", **TINY)
    model = small_mask_rcnn("small")
    images, targets = zip(scene(0, []), scene(1, []), strict=True)
    sum(model(list(images), list(targets)).values()).backward()
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_mask_rcnn_is_the_recipe() -> None:
    """Sec. 4.4: four convolutions and a linear layer in the box head, norms in all parts, nothing frozen."""
    with torch.device("meta"):
        model = mask_rcnn("pinas_trans", 91)
    convs = [m for m in model.roi_heads.box_head.modules() if isinstance(m, nn.Conv2d)]
    linears = [m for m in model.roi_heads.box_head.modules() if isinstance(m, nn.Linear)]
    assert (len(convs), len(linears)) == (4, 1)
    assert model.transform.min_size == (640, 672, 704, 736, 768, 800)
    for part in (model.backbone.fpn, model.roi_heads.box_head, model.roi_heads.mask_head):
        assert sum(isinstance(m, nn.BatchNorm2d) for m in part.modules()) >= 4
    assert all(p.requires_grad for p in model.parameters())
    assert tuple(model.transform.image_mean) == timm.models.get_pretrained_cfg("pinas_trans").mean
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert not any(type(m) is nn.BatchNorm2d for m in synced.modules())


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("auxiliary", [True, False])
def test_deeplabv3_trains(output_stride: int, auxiliary: bool) -> None:
    pinas_zoo.register("small", arch="3013", **TINY)
    model = deeplabv3("small", 4, output_stride=output_stride, auxiliary=auxiliary).train()
    images, labels = torch.randn(2, 3, 64, 96), torch.randint(0, 4, (2, 64, 96))
    out = model(images)
    assert list(out) == (["out", "aux"] if auxiliary else ["out"])
    loss = sum(nn.functional.cross_entropy(logits, labels) for logits in out.values())
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        assert model.eval()(images)["out"].shape == (2, 4, 64, 96)


def test_weights_come_by_every_name(tmp_path: Path) -> None:
    folder, trained = tiny_folder(tmp_path / "w")
    pinas_zoo.register("mine", folder=folder)
    for name in ("mine", f"local-dir:{folder}"):
        body = small_mask_rcnn(name, pretrained=True).backbone.features.body
        trained_body = timm.create_model(name, pretrained=True, features_only=True)
        assert same_weights(body, trained_body)
        assert torch.equal(body.state_dict()["layer4.0.conv3.weight"], trained.layer4[0].conv3.weight)
        assert same_weights(deeplabv3(name, 2, pretrained=True).backbone.body, trained_body)
    with pytest.raises(NotPublished):
        mask_rcnn("pinas_trans", 91, pretrained=True)


def test_networks_without_these_maps_are_named() -> None:
    with torch.device("meta"):
        assert mask_rcnn("resnest50d", 91).backbone.out_channels == 256
        with pytest.raises(UserError, match=r"strides \(4, 8, 16, 32\), got \(4, 8, 16, 16\)"):
            mask_rcnn("pinas_trans", 91, backbone_args={"output_stride": 16})


def test_mask_rcnn_on_coco() -> None:
    """One step on images of COCO as torchvision's own transforms read them."""
    root = shared_dir() / "data" / "coco_mini"
    if not root.is_dir():
        pytest.skip("../shared/data/coco_mini is absent")
    transforms = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.SanitizeBoundingBoxes()])
    raw = datasets.CocoDetection(
        root / "train2017", root / "annotations/instances_train2017.json", transforms=transforms
    )
    wanted = ["boxes", "labels", "masks"]
    data = datasets.wrap_dataset_for_transforms_v2(raw, target_keys=wanted)
    pairs = [data[i] for i in range(2)]
    pinas_zoo.register("small", arch="3013", **TINY)
    terms = small_mask_rcnn("small", 91)([image for image, _ in pairs], [dict(target) for _, target in pairs])
    assert isinstance(pairs[0][1]["boxes"], tv_tensors.BoundingBoxes)
    assert all(torch.isfinite(term) and term > 0 for term in terms.values())
