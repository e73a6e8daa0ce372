"""What a configuration says of images and their augmentation: plain data, checked when it is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pinas_zoo.data.decoding import Interpolation


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("expected the lower bound first")
    return pair


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "expected a name in UTF-8, as the run's files hold it; rename the folder or link to it"
        ) from None
    return text


Name = Annotated[str, AfterValidator(_utf8)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Turn = Annotated[float, Field(ge=0, le=0.5)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]
Shares = Annotated[tuple[Share, Share], AfterValidator(_rising)]


class Table(BaseModel):
    """A table of the configuration: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(Table):
    """Where images come from; see :mod:`pinas_zoo.data.splits` and docs/scale.md."""

    type: str = "timm"  # "digits" (scikit-learn's scans) or "timm" (any of timm's dataset readers)
    name: Name = ""  # timm's dataset name, such as "torch/cifar10"; empty for a folder with one sub-folder a class
    root: Name = "data"  # a folder, or a tar file's folder with train_split="train.tar"
    train_split: Name = "train"
    test_split: Name = "validation"
    image_size: int = Field(224, ge=1, le=2048)  # height and width in pixels that the network sees
    val_per_class: int = Field(50, ge=1)  # training images a class that are held out to score candidates (sec. 4.1)
    max_train: int | None = Field(None, ge=1)  # use only so many training images, a fixed random subset
    max_test: int | None = Field(None, ge=1)
    workers: int = Field(0, ge=0, le=1024)  # loader processes, of each rank; at most two for each core are started
    # decoded images are held in memory up to this; changes no distribution
    memory_gib: float = Field(4.0, ge=0, allow_inf_nan=False)
    crop_pct: float = Field(1.0, ge=0.125, le=1)  # part of the shorter side that the network sees without augmentation
    interpolation: Interpolation = "bicubic"  # of images that are resized without augmentation
    # of pixels in 0..1, RGB; None: measured on training images. Both or neither
    mean: tuple[Finite, Finite, Finite] | None = None
    std: tuple[Positive, Positive, Positive] | None = None


class Views(Table):
    """Random augmentation of one view; sec. 4.1's values are the defaults."""

    scale: Shares = (0.2, 1.0)  # area of the crop relative to the image
    ratio: Range = (0.75, 4 / 3)  # aspect of the crop
    flip: float = Field(0.5, ge=0, le=1)  # probability of mirroring
    jitter: tuple[Strength, Strength, Strength, Turn] = (0.4, 0.4, 0.4, 0.4)  # brightness, contrast, saturation, hue
    jitter_p: float = Field(0.8, ge=0, le=1)
    gray_p: float = Field(0.2, ge=0, le=1)
    blur_p: float = Field(0.5, ge=0, le=1)
    blur_sigma: Range = (0.1, 2.0)  # pixels
