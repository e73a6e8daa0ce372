# Π-NAS-cls (3013231203213032), Mask R-CNN, COCO 2017. Paper (Table 5): box AP 43.72, mask AP 39.13.
#   tools/dist_train.sh configs/det/mask-rcnn_pinas_cls_fpn_syncbn_1x_coco.py 8
# Memory: 6.7 GB per GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# Weights: none are published yet; register yours once by `pinas-zoo register pinas_cls --folder FOLDER`.
_base_ = "./_base_/mask-rcnn_fpn_syncbn_1x_coco.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="PiNAS",
        arch="pinas_cls",
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        init_cfg=dict(type="Pretrained", checkpoint="pinas:pinas_cls"),
    )
)
