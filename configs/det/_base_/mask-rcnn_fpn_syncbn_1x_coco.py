# The recipe of the paper's Table 5: Mask R-CNN with FPN, 1x schedule, all layers trained, SyncBN. These values differ
# from mmdet's defaults; they come from the authors' experiments/detection/configs, over detectron2's defaults:
#   90,000 iterations of 16 images; lr 0.02, divided by 10 at 60,000 and 80,000; warm-up of 1,000 iterations from 0.001;
#   norms without weight decay; short side 640-800 in steps of 32; box head of 4 convolutions and 1 linear layer.
_base_ = [
    "mmdet::_base_/models/mask-rcnn_r50_fpn.py",
    "mmdet::_base_/datasets/coco_instance.py",
    "mmdet::_base_/default_runtime.py",
]
custom_imports = dict(imports=["pinas_zoo.openmmlab", "pinas_zoo.openmmlab.coco_masks"], allow_failed_imports=False)
custom_hooks = [dict(type="CheckpointCheckHook"), dict(type="BatchOfOneHook")]

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    backbone=dict(frozen_stages=-1, norm_eval=False, norm_cfg=norm_cfg),
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadPolygonsOrRLE", with_bbox=True, with_mask=True, poly2mask=False),
    dict(type="RandomChoiceResize", scales=[(1333, side) for side in range(640, 801, 32)], keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(
    batch_size=2,  # per GPU, on 8 GPUs
    sampler=dict(_delete_=True, type="InfiniteSampler", shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=90000, val_interval=6000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=0.0001),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=90000, milestones=[60000, 80000], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=6000, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
