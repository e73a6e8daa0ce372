# Any network of the space, or one that you found, Mask R-CNN, COCO 2017. No figure in the paper.
#   tools/dist_train.sh configs/det/mask-rcnn_pinas_fpn_syncbn_1x_coco.py 8 --cfg-options model.backbone.arch=NAME \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=pinas:NAME
# Memory: 6.6 GB a GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without what
# convolutions use as workspace. Time: not measured.
# NAME is registered (`pinas-zoo list --mine`); arch may also be 16 digits, a folder or hf-hub:user/name. Without the
# last line it starts from random weights.
_base_ = "./_base_/mask-rcnn_fpn_syncbn_1x_coco.py"
model = dict(
    backbone=dict(
        _delete_=True, type="PiNAS", arch="1" * 16, norm_cfg=dict(type="SyncBN", requires_grad=True), init_cfg=dict()
    )
)
