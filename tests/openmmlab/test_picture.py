"""Pictures of predictions: nothing lies outside, text and colours are there, and the rest keeps its pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")
pytest.importorskip("mmdet")
from pinas_zoo.openmmlab.colors import palette
from pinas_zoo.openmmlab.picture import DrawnObject, draw_classes, draw_objects

GRAY = Image.new("RGB", (400, 300), (90, 90, 90))


def differs(picture: Image.Image, image: Image.Image = GRAY) -> np.ndarray:
    """Whether pixels changed, H x W."""
    return (np.asarray(picture).astype(int) != np.asarray(image).astype(int)).any(-1)


def test_a_mask_changes_its_pixels_alone() -> None:
    mask = np.zeros((300, 400), bool)
    mask[120:160, 50:90] = True
    box = (50.0, 120.0, 90.0, 160.0)
    plain = draw_objects(GRAY, [DrawnObject("cat", (250, 20, 20), 0.9, box)])
    painted = draw_objects(GRAY, [DrawnObject("cat", (250, 20, 20), 0.9, box, mask)])
    between = differs(painted, plain)
    assert between[125:155, 55:85].all()
    assert not (between & ~mask).any()
    inside = np.asarray(painted)[140, 70]
    assert inside[0] > 90 > inside[1] == inside[2]


def test_names_of_overlapping_boxes_stand_apart() -> None:
    boxes = [(100.0, 100.0 + k, 220.0, 200.0 + k) for k in range(3)]
    colors = palette(3)
    picture = draw_objects(
        GRAY, [DrawnObject(f"name {k}", colors[k], 0.9 - k / 10, box) for k, box in enumerate(boxes)]
    )
    pixels = np.asarray(picture).reshape(-1, 3)
    for color in colors:  # a label is a filled rectangle of its colour
        assert (pixels == color).all(-1).sum() > 400


def test_boxes_beyond_the_edge_and_images_of_a_few_pixels() -> None:
    far = DrawnObject("far", (0, 200, 0), 0.5, (-50.0, -20.0, 900.0, 700.0))
    assert draw_objects(GRAY, [far]).size == GRAY.size
    tiny = Image.new("RGB", (40, 30))
    for image in (tiny, Image.new("L", (1, 1)), Image.new("RGB", (5000, 3))):
        picture = draw_objects(image, [DrawnObject("near", (0, 200, 0), 0.5, (0.0, 0.0, 1.0, 1.0))])
        assert max(picture.size) >= 320
        assert picture.width * image.height == picture.height * image.width
    assert draw_objects(GRAY, []).tobytes() == GRAY.tobytes()


def test_the_legend_names_classes_and_avoids_boxes() -> None:
    near = DrawnObject("cat", (250, 20, 20), 0.9, (200.0, 0.0, 399.0, 120.0))  # in the corner that comes first
    picture = np.asarray(draw_objects(GRAY, [near]))
    changed = differs(Image.fromarray(picture))
    assert changed[-20:, -60:].any() or changed[-20:, :60].any() or changed[:20, :60].any()
    labels = np.zeros((300, 400), int)
    labels[:, 200:] = 1
    colors = [(250, 20, 20), (20, 20, 250)]
    drawn = np.asarray(draw_classes(GRAY, labels, ["left", "right"], colors)).astype(int)
    assert drawn[5, 5, 0] > drawn[5, 5, 2]
    assert drawn[295, 395, 2] > drawn[295, 395, 0] or drawn[295, 395].min() > 200  # the class, or the legend over it
    many = draw_classes(
        GRAY, np.arange(120000).reshape(300, 400) % 150, [f"class {k}" for k in range(150)], palette(150)
    )
    white = (np.asarray(many).min(-1) > 200).mean()
    assert white < 0.3  # the legend leaves most of the picture free


def test_colours_are_distinct() -> None:
    assert len(set(palette(150))) == 150
    assert palette(3) == palette(150)[:3]
