"""torchvision's detector and segmenters on our networks through onnxruntime (and OpenVINO): equal boxes and masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnxruntime

import pinas_zoo
from pinas_zoo.models.torchvision_heads import deeplabv3
from tests.models.test_torchvision_heads import small_mask_rcnn
from tests.networks import TINY

pytestmark = [pytest.mark.usefixtures("zoo_home"), pytest.mark.filterwarnings("ignore")]  # tracing fixes sizes
Run = Callable[[torch.Tensor], list[torch.Tensor]]


def by_onnxruntime(file: Path) -> Run:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    return lambda x: [torch.from_numpy(out) for out in session.run(None, {images.name: x.numpy()})]


def by_openvino(file: Path) -> Run:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    compiled = openvino.compile_model(openvino.convert_model(str(file)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: [torch.from_numpy(out.copy()) for out in compiled([x.numpy()]).values()]


RUNTIMES = [by_onnxruntime, by_openvino]


def detector(**options: Any) -> Any:
    """A detector whose scores differ, as a trained one's do: equal scores have no order."""
    pinas_zoo.register("small", arch="3013", **TINY)
    torch.manual_seed(0)
    model = small_mask_rcnn("small", box_nms_thresh=0.5, rpn_post_nms_top_n_test=50, **options).eval()
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.normal_(std=2)
        model.rpn.head.cls_logits.weight.normal_(std=1)
    return model


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_mask_rcnn(tmp_path: Path, runtime: Callable[[Path], Run]) -> None:
    model = detector(box_score_thresh=0.3)
    names = ["boxes", "labels", "scores", "masks"]  # in torchvision's order
    axes = {name: {0: "detections"} for name in names}
    file = tmp_path / "mask_rcnn.onnx"
    example = ([torch.rand(3, 96, 128)],)
    torch.onnx.export(
        model, example, str(file), opset_version=17, dynamo=False,
        input_names=["image"], output_names=names, dynamic_axes=axes,
    )  # fmt: skip
    run = runtime(file)
    for seed in range(3):  # not what was traced
        torch.manual_seed(seed)
        image = torch.rand(3, 96, 128)
        with torch.no_grad():
            expected = model([image])[0]
        assert len(expected["boxes"]) > 0
        for name, found in zip(names, run(image), strict=True):
            torch.testing.assert_close(found, expected[name], rtol=1e-3, atol=1e-3)


def segmenters() -> dict[str, Callable[[], Any]]:
    def from_smp() -> Any:
        smp = pytest.importorskip("segmentation_models_pytorch", reason="the extra `smp` is not installed")
        return smp.DeepLabV3("tu-small", encoder_weights=None, encoder_output_stride=8, decoder_channels=16, classes=4)

    return {"torchvision": lambda: deeplabv3("small", 4), "smp": from_smp}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("library", segmenters())
def test_segmenter(tmp_path: Path, library: str, runtime: Callable[[Path], Run]) -> None:
    pinas_zoo.register("small", arch="3013", **TINY)
    torch.manual_seed(0)
    model = segmenters()[library]().eval()
    file = tmp_path / "segmenter.onnx"
    torch.onnx.export(model, (torch.rand(1, 3, 64, 96),), str(file), opset_version=17, dynamo=False)
    run = runtime(file)
    torch.manual_seed(1)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = model(images)
    expected = expected["out"] if isinstance(expected, dict) else expected
    logits = run(images)[0]
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(logits.argmax(1), expected.argmax(1))
