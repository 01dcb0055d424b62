"""A slot as the inference sees it: what belongs there, and what is known to lie there. Pure."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

NOISE_FIRST_G: Final = 5.0
"""Standard deviation of a sample, until the scale has shown its own."""


class Article(NamedTuple):
    """What a unit of a SKU weighs."""

    sku: str
    unit_g: float
    sd_g: float


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """What lies on a slot, how many fit, and what may be taken for it by mistake."""

    slot: str
    article: Article
    capacity: int
    neighbours: tuple[Article, ...] = ()


@dataclass(slots=True)
class SlotMemory:
    """What must outlive a restart: the count, the weight that it belongs to, and foreign articles."""

    on_shelf: int
    baseline_g: float | None = None
    noise_g: float = NOISE_FIRST_G
    foreign: dict[str, int] = field(default_factory=dict)
    load_g: float = 0.0
    """What was told as ``unknown`` and still lies there: a bag, as a rule, that will go away again."""
