# Any network of the space, or one that you found, DeepLabV3, ADE20K. No figure in the paper.
#   tools/dist_train.sh configs/seg/deeplabv3_pinas-d8_120e_ade20k-480x480.py 8 --cfg-options model.backbone.arch=NAME \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=pinas:NAME
# Memory: 3.5 GB a GPU with 2 images of 480 x 480, counted by benchmarks/transfer.py --memory, without what
# convolutions use as workspace. Time: not measured.
# NAME is registered (`pinas-zoo list --mine`); arch may also be 16 digits, a folder or hf-hub:user/name. Without the
# last line it starts from random weights.
_base_ = "./_base_/deeplabv3-d8_120e_ade20k-480x480.py"
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type="PiNAS",
        arch="1" * 16,
        output_stride=8,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        init_cfg=dict(),
    ),
)
