# Any network of the space, such as the winner of a search, DeepLabV3, Cityscapes. The paper has no figure.
#   tools/dist_train.sh configs/seg/deeplabv3_pinas-d8_240e_cityscapes-768x768.py 8 --cfg-options \
#       model.backbone.arch=NAME model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=pinas:NAME
# Memory: 7.0 GB per GPU with 2 images of 768 x 768, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# NAME is a registered network (`pinas-zoo list --mine`); arch may also be 16 digits, a folder or hf-hub:user/name.
# Without the last line, training starts from random weights.
_base_ = "./_base_/deeplabv3-d8_240e_cityscapes-768x768.py"
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
