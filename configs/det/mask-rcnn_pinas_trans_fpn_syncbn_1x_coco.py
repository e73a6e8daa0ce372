# Π-NAS-trans (3333113330011021), Mask R-CNN, COCO 2017. Figure: box AP 44.07, mask AP 39.50 (authors' README).
#   tools/dist_train.sh configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py 8
# Memory: 7.0 GB a GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without what
# convolutions use as workspace. Time: not measured.
# Weights: `pinas-zoo register pinas_trans --folder FOLDER` once; none are published yet.
_base_ = "./_base_/mask-rcnn_fpn_syncbn_1x_coco.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="PiNAS",
        arch="pinas_trans",
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        init_cfg=dict(type="Pretrained", checkpoint="pinas:pinas_trans"),
    )
)
