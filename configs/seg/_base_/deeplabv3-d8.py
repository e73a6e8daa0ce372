# The settings of the paper's DeepLabV3 on all data sets. The authors' segmentation is PyTorch-Encoding. Its values that
# differ from mmseg's defaults (in parentheses) are: ASPP of width 256 with rates 12, 24, 36 and a projection (512, no
# projection); aligned corners; auxiliary loss 0.2 (0.4); lr 0.004, and 10 times as much in the heads (0.01); weight
# decay 1e-4 (5e-4); no photometric distortion.
_base_ = [
    "mmseg::_base_/models/deeplabv3_r50-d8.py",
    "mmseg::_base_/default_runtime.py",
    "mmseg::_base_/schedules/schedule_80k.py",
]
custom_imports = dict(
    imports=["pinas_zoo.openmmlab", "pinas_zoo.openmmlab.aspp", "pinas_zoo.openmmlab.multi_eval"],
    allow_failed_imports=False,
)
custom_hooks = [dict(type="CheckpointCheckHook")]
model = dict(
    decode_head=dict(type="EncodingASPPHead", channels=256, align_corners=True),
    auxiliary_head=dict(align_corners=True, loss_decode=dict(loss_weight=0.2)),
)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.004, momentum=0.9, weight_decay=0.0001),
    paramwise_cfg=dict(custom_keys=dict(decode_head=dict(lr_mult=10.0), auxiliary_head=dict(lr_mult=10.0))),
)
