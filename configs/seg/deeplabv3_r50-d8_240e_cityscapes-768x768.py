# ResNet-50, DeepLabV3, Cityscapes. The paper's figure: see Table 6 of the paper.
#   tools/dist_train.sh configs/seg/deeplabv3_r50-d8_240e_cityscapes-768x768.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_r50-d8_240e_cityscapes-768x768.py CHECKPOINT 8 --tta
# Memory: 5.8 GB a GPU with 2 images of 768 x 768, counted by benchmarks/transfer.py --memory, without what
# convolutions use as workspace. Time: not measured.
# The backbone is mmseg's own ResNet-50 with a deep stem (V1c), as PyTorch-Encoding's is.
_base_ = "./_base_/deeplabv3-d8_240e_cityscapes-768x768.py"
model = dict(pretrained="open-mmlab://resnet50_v1c")
