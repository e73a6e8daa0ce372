"""The authors' segmenter, a DeepLabV3 of PyTorch-Encoding, converted to the models of ``configs/seg``.

The ``EncodingASPPHead`` of our configs has the layers of PyTorch-Encoding and its order of concatenation: 1x1, rates
12, 24 and 36, image pooling. mmseg's own head has image pooling first and no projection, so the weights cannot be
converted to it. Both interpolate with aligned corners. The classes are those of the data set without background: label
minus one for ADE20K's 150, train ids for Cityscapes' 19. Pixels of no class are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pinas_zoo.convert.openmmlab_model import ConvertedModel, Layer, backbone_of, rename, shape_of, stage_channels

LAYOUT = "a DeepLabV3 of PyTorch-Encoding"
BACKBONE = "pretrained."
RATES = (12, 24, 36)  # no tensor holds them


def is_segmenter(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors are named as those of a segmenter of PyTorch-Encoding."""
    return any(name.startswith(BACKBONE) for name in tensors)


def convert_segmenter(tensors: Mapping[str, Tensor], where: str) -> ConvertedModel:
    """A segmenter for mmseg from the tensors of a PyTorch-Encoding checkpoint.

    Raises:
        WrongShapes: Another kind of segmenter: tensors are missing, unknown or of another shape.
    """
    args, expected = backbone_of(tensors, name_in_file, where)
    classes = shape_of(tensors, "head.block.4.weight", 4, LAYOUT, where)[0]
    expected += [t for layer in _layers(tensors, stage_channels(args), classes, where) for t in layer.tensors()]
    state = rename(tensors, expected, f"{LAYOUT} (backbone {args['arch']}, {classes} classes)", where)
    return ConvertedModel(state, "seg", LAYOUT, args, classes)


def name_in_file(name: str) -> str:
    """PyTorch-Encoding's name of a backbone's tensor, from the zoo's name."""
    return BACKBONE + name


def _layers(tensors: Mapping[str, Tensor], channels: list[int], classes: int, where: str) -> list[Layer]:
    """Layers of both heads. Widths are taken from the file; loading it into a model of others fails."""
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
