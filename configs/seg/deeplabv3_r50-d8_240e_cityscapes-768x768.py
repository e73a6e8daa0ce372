# ResNet-50, DeepLabV3, Cityscapes. Result: Table 6 of the paper.
#   tools/dist_train.sh configs/seg/deeplabv3_r50-d8_240e_cityscapes-768x768.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_r50-d8_240e_cityscapes-768x768.py CHECKPOINT 8 --tta
# Memory: 5.8 GB per GPU with 2 images of 768 x 768, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# The backbone is mmseg's ResNet-50 with a deep stem (V1c), like that of PyTorch-Encoding.
_base_ = "./_base_/deeplabv3-d8_240e_cityscapes-768x768.py"
model = dict(pretrained="open-mmlab://resnet50_v1c")
