# What the paper's DeepLabV3 has on every data set. Where mmseg's defaults differ from it, the value and its source
# (PyTorch-Encoding, which the authors' segmentation is): ASPP of width 256 with rates 12, 24, 36 and a projection
# (mmseg: 512, none); corners aligned; auxiliary loss 0.2 (0.4); lr 0.004 with 10 times as much in the heads (0.01);
# weight decay 1e-4 (5e-4); no photometric distortion.
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
