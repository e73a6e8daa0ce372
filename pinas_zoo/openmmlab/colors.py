"""Colours for classes that have none."""

from __future__ import annotations

import colorsys

GOLDEN = 0.618034  # consecutive hues at this distance stay apart however many there are


def palette(count: int) -> list[tuple[int, int, int]]:
    """Distinct colours, R, G, B from 0 to 255; the first ones are the same for every count."""
    colors = []
    for k in range(count):
        hue, value, saturation = (0.02 + k * GOLDEN) % 1, (0.95, 0.75, 0.6)[k // 12 % 3], (0.85, 0.55)[k // 6 % 2]
        red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colors
