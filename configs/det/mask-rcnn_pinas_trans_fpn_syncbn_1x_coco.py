# Π-NAS-trans (3333113330011021), Mask R-CNN, COCO 2017. Paper (Table 5): box AP 44.11±0.04, mask AP 39.48±0.02.
# Authors' README, for their published file: box AP 44.07, mask AP 39.50.
#   tools/dist_train.sh configs/det/mask-rcnn_pinas_trans_fpn_syncbn_1x_coco.py 8
# Memory: 7.0 GB per GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# Weights: none are published yet; register yours once by `pinas-zoo register pinas_trans --folder FOLDER`.
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
