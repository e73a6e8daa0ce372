"""The authors' segmenter, PyTorch-Encoding's DeepLabV3, onto the models of ``configs/seg``.

Our configs' ``EncodingASPPHead`` has PyTorch-Encoding's layers, and the order of its concatenation: 1x1, rates 12, 24
and 36, image pooling. mmseg's own head pools first and has no projection; no permutation of weights makes one of the
other. Both interpolate with aligned corners. Classes are the data set's without background: ADE20K's 150 labels less
one, Cityscapes' 19 train ids; pixels of no class are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pinas_zoo.convert.whole_model import Layer, Whole, backbone_of, rename, shape_of, stage_channels

LAYOUT = "a DeepLabV3 of PyTorch-Encoding"
BACKBONE = "pretrained."
RATES = (12, 24, 36)  # no tensor holds them


def knows(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are a PyTorch-Encoding segmenter's."""
    return any(name.startswith(BACKBONE) for name in tensors)


def read_segmenter(tensors: Mapping[str, Tensor], where: str) -> Whole:
    """A segmenter's tensors by the names of the models in ``configs/seg``.

    Raises:
        WrongShapes: Another segmenter: tensors missing, unknown or of another shape.
    """
    args, expected = backbone_of(tensors, name_in_file, where)
    classes = shape_of(tensors, "head.block.4.weight", 4, LAYOUT, where)[0]
    expected += [t for layer in _layers(tensors, stage_channels(args), classes, where) for t in layer.tensors()]
    state = rename(tensors, expected, f"{LAYOUT} (backbone {args['arch']}, {classes} classes)", where)
    return Whole(state, "seg", LAYOUT, args, classes)


def name_in_file(name: str) -> str:
    """From the zoo's name of a backbone's tensor to the file's."""
    return BACKBONE + name


def _layers(tensors: Mapping[str, Tensor], channels: list[int], classes: int, where: str) -> list[Layer]:
    """Head and auxiliary head. Widths are the file's; a model of other widths refuses it when it loads."""
    width = shape_of(tensors, "head.aspp.b0.0.weight", 4, LAYOUT, where)[0]
    aux = shape_of(tensors, "auxlayer.conv5.0.weight", 4, LAYOUT, where)[0]
    deep = channels[-1]

    def conv_norm(source: str, target: str, shape: tuple[int, ...], index: int = 0) -> Layer:
        return Layer(f"{source}.{index}", f"{target}.conv", shape, norm=(f"{source}.{index + 1}", f"{target}.bn"))

    layers = [conv_norm("head.aspp.b0", "decode_head.aspp_modules.0", (width, deep, 1, 1))]
    for i in range(1, len(RATES) + 1):
        layers.append(conv_norm(f"head.aspp.b{i}", f"decode_head.aspp_modules.{i}", (width, deep, 3, 3)))
    branches = len(RATES) + 2
    return [
        *layers,
        conv_norm(f"head.aspp.b{branches - 1}.gap", "decode_head.image_pool.1", (width, deep, 1, 1), index=1),
        conv_norm("head.aspp.project", "decode_head.project", (width, branches * width, 1, 1)),
        conv_norm("head.block", "decode_head.bottleneck", (width, width, 3, 3)),
        Layer("head.block.4", "decode_head.conv_seg", (classes, width, 1, 1), bias=True),
        conv_norm("auxlayer.conv5", "auxiliary_head.convs.0", (aux, channels[2], 3, 3)),
        Layer("auxlayer.conv5.4", "auxiliary_head.conv_seg", (classes, aux, 1, 1), bias=True),
    ]
