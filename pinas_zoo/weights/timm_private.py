"""What this package uses of timm that timm does not export; the only module that imports timm's private modules.

Checked with timm 1.0.31. When timm exports one of these, replace it here.
"""

from __future__ import annotations

from timm.models import _registry as registry
from timm.models._features import FeatureGetterNet, feature_take_indices
from timm.models._hub import _parse_model_cfg as parse_model_cfg

__all__ = ["FeatureGetterNet", "feature_take_indices", "parse_model_cfg", "registry"]
