# ResNeSt-50, Mask R-CNN, COCO 2017. The paper's figure: see Table 5 of the paper.
#   tools/dist_train.sh configs/det/mask-rcnn_resnest50_fpn_syncbn_1x_coco.py 8
# Memory: 6.6 GB a GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without what
# convolutions use as workspace. Time: not measured.
# All layers 1, candidate 2s1x64d, are ResNeSt-50. The class is the same as for Π-NAS, so only the choices differ.
# Weights are timm's resnest50d.in1k, whose names and numbers are the same.
_base_ = "./_base_/mask-rcnn_fpn_syncbn_1x_coco.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="PiNAS",
        arch="1" * 16,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        init_cfg=dict(type="Pretrained", checkpoint="hf-hub:timm/resnest50d.in1k"),
    )
)
