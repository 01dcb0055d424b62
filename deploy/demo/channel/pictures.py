"""Pictures of the articles: a can, a bottle, a carton, a cup or a bag in the article's own colour, as small PNGs.

Each shape is drawn once, as pixels of a palette; an article's picture differs in its palette alone.
"""

import colorsys
import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, NamedTuple

SIZE: Final = 96
PAPER, BODY, SHADE, LABEL, CAP = range(5)
CAN_MAX_ML: Final = 339


class Band(NamedTuple):
    """A part of a shape between two heights (0 top, 1 bottom), as wide as told at each, to both sides of the middle."""

    top: float
    bottom: float
    half_at_top: float
    half_at_bottom: float
    colour: int


SHAPES: Final[dict[str, tuple[Band, ...]]] = {
    "can": (
        Band(0.14, 0.19, 0.17, 0.20, CAP),
        Band(0.19, 0.84, 0.20, 0.20, BODY),
        Band(0.84, 0.88, 0.20, 0.17, CAP),
        Band(0.42, 0.58, 0.20, 0.20, LABEL),
    ),
    "bottle": (
        Band(0.08, 0.15, 0.07, 0.07, CAP),
        Band(0.15, 0.30, 0.06, 0.06, SHADE),
        Band(0.30, 0.46, 0.06, 0.19, BODY),
        Band(0.46, 0.93, 0.19, 0.19, BODY),
        Band(0.52, 0.70, 0.19, 0.19, LABEL),
    ),
    "carton": (
        Band(0.12, 0.26, 0.06, 0.20, SHADE),
        Band(0.26, 0.90, 0.20, 0.20, BODY),
        Band(0.46, 0.66, 0.13, 0.13, LABEL),
    ),
    "cup": (
        Band(0.24, 0.30, 0.25, 0.25, CAP),
        Band(0.30, 0.88, 0.23, 0.18, BODY),
        Band(0.48, 0.64, 0.20, 0.19, LABEL),
    ),
    "bag": (
        Band(0.14, 0.20, 0.27, 0.26, SHADE),
        Band(0.20, 0.82, 0.26, 0.26, BODY),
        Band(0.82, 0.88, 0.26, 0.27, SHADE),
        Band(0.38, 0.50, 0.04, 0.16, LABEL),
        Band(0.50, 0.62, 0.16, 0.04, LABEL),
    ),
}
PACKED: Final = {
    "bag": ("biscuits", "wafers", "nuts", "seaweed", "crisps", "coffee-drip", "jelly", "cheese"),
    "cup": ("noodles", "yogurt"),
    "carton": ("milk", "soy", "juice", "almond", "walnut"),
}
"""What is packed so, by the beginning of its name; the rest are cans and bottles."""


def picture_of(sku: str, number: int, count: int) -> bytes:
    """PNG of an article, the ``number``-th of ``count``: neighbours differ in colour."""
    hue = (number * 7 % count) / count
    palette = (_rgb(hue, 0.06, 0.98), _rgb(hue, 0.62, 0.80), _rgb(hue, 0.62, 0.62), (255, 255, 255), (70, 78, 74))
    return _png(palette, _pixels(_shape_of(sku)))


def signature() -> bytes:
    """PNG of somebody's name in ink, as a signature pad gives it."""
    heights = [12 + 8 * ((x * x // 37) % 3 - 1) * (x % 16) // 16 for x in range(SIZE)]
    return _png(((255, 255, 255), (20, 32, 96)), [bytes(y == height for height in heights) for y in range(24)])


def _shape_of(sku: str) -> str:
    for shape, names in PACKED.items():
        if sku.startswith(names):
            return shape
    return "can" if int(sku.rpartition("-")[2]) <= CAN_MAX_ML else "bottle"


@cache
def _pixels(shape: str) -> tuple[bytes, ...]:
    places = [(place + 0.5) / SIZE for place in range(SIZE)]
    return tuple(bytes(_colour(SHAPES[shape], x, y) for x in places) for y in places)


def _colour(bands: Sequence[Band], x: float, y: float) -> int:
    colour = PAPER
    for band in bands:
        if band.top <= y < band.bottom:
            share = (y - band.top) / (band.bottom - band.top)
            half = band.half_at_top + share * (band.half_at_bottom - band.half_at_top)
            if abs(x - 0.5) < half:
                # Light falls from the left.
                shaded = band.colour == BODY and x > 0.5 + half / 2
                colour = SHADE if shaded else band.colour
    return colour


def _rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _png(palette: Iterable[tuple[int, int, int]], rows: Sequence[bytes]) -> bytes:
    """A PNG of palette indices, a byte each (PNG specification, sections 5 and 11)."""
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    colours = bytes(part for colour in palette for part in colour)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    parts = ((b"IHDR", head), (b"PLTE", colours), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
