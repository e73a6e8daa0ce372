"""Border to OpenMMLab. A config runs with mmdet's and mmseg's own tools once it says

    custom_imports = dict(imports="pinas_zoo.openmmlab")

which supplies mmcv's operators where they are not compiled, registers the backbone ``PiNAS`` and the synchronised batch
norm, teaches mmengine's checkpoint loader where this package keeps weights, and lets torch resume mmengine's
checkpoints. A script of your own imports this module before mmdet or mmseg.
"""

from __future__ import annotations

from pinas_zoo import extras

extras.require()

from pinas_zoo.openmmlab import operators  # noqa: E402

operators.supply()

from pinas_zoo.openmmlab import sync_bn  # noqa: E402
from pinas_zoo.openmmlab.backbone import PiNASBackbone  # noqa: E402
from pinas_zoo.openmmlab.checkpoints import CheckpointCheckHook, allow_resuming  # noqa: E402

sync_bn.register()
allow_resuming()

__all__ = ["CheckpointCheckHook", "PiNASBackbone"]
