# Any network of the space, such as the winner of a search, Mask R-CNN, COCO 2017. The paper has no figure.
#   tools/dist_train.sh configs/det/mask-rcnn_pinas_fpn_syncbn_1x_coco.py 8 --cfg-options model.backbone.arch=NAME \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=pinas:NAME
# Memory: 6.6 GB per GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# NAME is a registered network (`pinas-zoo list --mine`); arch may also be 16 digits, a folder or hf-hub:user/name.
# Without the last line, training starts from random weights.
_base_ = "./_base_/mask-rcnn_fpn_syncbn_1x_coco.py"
model = dict(
    backbone=dict(
        _delete_=True, type="PiNAS", arch="1" * 16, norm_cfg=dict(type="SyncBN", requires_grad=True), init_cfg=dict()
    )
)
