# The recipe of the paper's Table 6 on ADE20K: 120 epochs of 20,210 images in batches of 16 from 8 GPUs. Each GPU has
# 2,527 images, 2 at a time, without the last one: 120 x 1,263 = 151,560 iterations.
# Training: long side 520 x (0.5 to 2), crop 480. Test: windows of 480, stride 320, at the scales below and flipped.
_base_ = ["./deeplabv3-d8.py", "mmseg::_base_/datasets/ade20k.py"]
base, crop = 520, (480, 480)
model = dict(
    data_preprocessor=dict(size=crop),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
    test_cfg=dict(mode="slide", crop_size=crop, stride=(320, 320)),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="RandomResize", scale=(base, base), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(base, base), keep_ratio=True),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="PackSegInputs"),
]
# --tta, and --authors, which adds the authors' mean over classes: pinas_zoo/openmmlab/multi_eval.py.
tta_model = dict(
    _delete_=True, type="EncodingTTAModel", base_size=base, crop_size=crop[0], scales=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
)
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))  # per GPU, on 8 GPUs
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_iters = 151560
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=12630)
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=12630, max_keep_ckpts=2))
