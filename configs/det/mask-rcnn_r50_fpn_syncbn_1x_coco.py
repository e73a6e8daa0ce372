# ResNet-50, Mask R-CNN, COCO 2017. The paper's figure: see Table 5 of the paper.
#   tools/dist_train.sh configs/det/mask-rcnn_r50_fpn_syncbn_1x_coco.py 8
# Memory: 5.2 GB a GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without what
# convolutions use as workspace. Time: not measured.
# The backbone is mmdet's own ResNet with torchvision's weights.
_base_ = "./_base_/mask-rcnn_fpn_syncbn_1x_coco.py"
model = dict(backbone=dict(init_cfg=dict(checkpoint="torchvision://resnet50")))
