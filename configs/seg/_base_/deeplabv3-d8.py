# The settings of the paper's DeepLabV3 on all data sets. The paper trains with PyTorch-Encoding (sec. 4.4); the authors
# published no script of it. Values that differ from mmseg's defaults (in parentheses): ASPP of width 256 with rates 12,
# 24, 36 and a projection (512, no projection); aligned corners; auxiliary loss 0.2 (0.4); the heads' lr is 10 times the
# backbone's (the same); weight decay 1e-4 (5e-4); no photometric distortion.
# Learning rate and epochs are those of one script of PyTorch-Encoding, experiments/segmentation/train_dist.py: lr 0.01
# for batches of 16, 120 epochs on ADE20K and 240 on Cityscapes, which are the paper's. Its train.py pairs lr 0.004 with
# 180 epochs on ADE20K.
_base_ = [
    "mmseg::_base_/models/deeplabv3_r50-d8.py",
    "mmseg::_base_/default_runtime.py",
    "mmseg::_base_/schedules/schedule_80k.py",
]
custom_imports = dict(
    imports=[
        "pinas_zoo.openmmlab",
        "pinas_zoo.openmmlab.aspp",
        "pinas_zoo.openmmlab.multi_eval",
        "pinas_zoo.openmmlab.stored_labels",
    ],
    allow_failed_imports=False,
)
custom_hooks = [dict(type="CheckpointCheckHook"), dict(type="BatchOfOneHook")]
model = dict(
    decode_head=dict(type="EncodingASPPHead", channels=256, align_corners=True),
    auxiliary_head=dict(align_corners=True, loss_decode=dict(loss_weight=0.2)),
)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001),
    paramwise_cfg=dict(custom_keys=dict(decode_head=dict(lr_mult=10.0), auxiliary_head=dict(lr_mult=10.0))),
)
