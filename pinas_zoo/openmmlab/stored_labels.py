"""mmseg's data set of one's own masks, where the numbers in the masks are not 0, 1, 2, …, such as 0 and 255."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from pinas_zoo.errors import UserError

IGNORED = 255


@DATASETS.register_module()
class StoredLabelsDataset(BaseSegDataset):
    """A data set whose masks name the first class by ``stored[0]``, the second by ``stored[1]``, and so on.

    The number 255 is ignored unless it is a class's, and so are numbers of classes that are stored as others. Any other
    number is an error, as in mmseg's own data sets. mmseg's LoadAnnotations applies the map.

    Args:
        stored: The classes' numbers in the masks, 0 to 255, in the order of ``metainfo.classes``.
        kwargs: Of mmseg's class.

    Raises:
        UserError: Not one number a class.
    """

    def __init__(self, stored: Sequence[int], **kwargs: Any):
        labels = {number: label for label, number in enumerate(stored)}
        classes = (kwargs.get("metainfo") or {}).get("classes") or ()
        if len(labels) != len(classes) or not all(0 <= number <= 255 for number in labels):
            raise UserError(
                f"expected a number from 0 to 255 for each of the {len(classes)} classes as stored, got {list(stored)}"
            )
        self._map = {**dict.fromkeys(range(len(classes)), IGNORED), **labels}
        super().__init__(**kwargs)
        self.label_map = self._map
        self._metainfo["label_map"] = self._map

    def load_data_list(self) -> list[dict[str, Any]]:
        return [{**entry, "label_map": self._map} for entry in super().load_data_list()]
