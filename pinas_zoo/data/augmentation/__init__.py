"""Augmented views of images (sec. 4.1): random resized crop, mirroring, colour jitter, grey, blur.

The random parameters of a view are drawn once (:mod:`.draw`). Two executors turn an image and its draw into pixels:

:func:`image_views`  one image of any size, in a worker of the loader, by OpenCV and torch on uint8 (:mod:`.per_image`).
:class:`BatchViews`  a batch of images of one size, on the device where the network runs (:mod:`.per_batch`).

They compute the same function, up to rounding: ``tests/data/test_augmentation.py`` states the bound.
"""

from pinas_zoo.data.augmentation.draw import ViewDraws, draw_views, view_uniforms
from pinas_zoo.data.augmentation.per_batch import BatchViews
from pinas_zoo.data.augmentation.per_image import image_views

__all__ = ["BatchViews", "ViewDraws", "draw_views", "image_views", "view_uniforms"]
