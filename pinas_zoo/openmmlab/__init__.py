"""Integration with OpenMMLab. A config runs with the tools of mmdet and mmseg when it contains

    custom_imports = dict(imports="pinas_zoo.openmmlab")

Importing this module supplies mmcv's operators where they are not compiled, registers the backbone ``PiNAS`` and the
synchronised batch norm, adds this package's places of weights to mmengine's checkpoint loader, and lets torch read
mmengine's checkpoints to resume. A script of your own must import it before mmdet or mmseg.
"""

from __future__ import annotations

import warnings

from pinas_zoo import extras

# mmengine imports it; users can do nothing about that
warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
extras.require()

from pinas_zoo.openmmlab import operators  # noqa: E402

operators.supply()

from pinas_zoo.openmmlab import sync_bn  # noqa: E402
from pinas_zoo.openmmlab.backbone import PiNASBackbone  # noqa: E402
from pinas_zoo.openmmlab.batch_of_one import BatchOfOneHook  # noqa: E402
from pinas_zoo.openmmlab.checkpoints import CheckpointCheckHook, allow_resuming  # noqa: E402

sync_bn.register()
allow_resuming()

__all__ = ["BatchOfOneHook", "CheckpointCheckHook", "PiNASBackbone"]
