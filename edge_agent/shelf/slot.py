"""A slot as the inference sees it: what belongs there, and what is known to lie there. Pure."""

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from edge_agent.shelf.temperature import TemperatureDrift
from edge_agent.shelf.unit_weight import UnitWeight

NOISE_FIRST_G: Final = 5.0
"""Standard deviation of a sample, until the scale has shown its own."""

LOADS_MAX: Final = 4
HABIT_FADE: Final = 0.95


class Article(NamedTuple):
    """What a unit of a SKU weighs: ``sd_g`` from unit to unit, ``mean_sd_g`` how uncertain ``unit_g`` itself is."""

    sku: str
    unit_g: float
    sd_g: float
    mean_sd_g: float = 0.0

    def variance_g2(self, units: int) -> float:
        """Variance of the weight of so many units."""
        return abs(units) * self.sd_g**2 + (units * self.mean_sd_g) ** 2


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """What lies on a slot, how many fit, and what may be taken for it by mistake."""

    slot: str
    article: Article
    capacity: int
    neighbours: tuple[Article, ...] = ()

    def learnt(self, unit: UnitWeight) -> "SlotPlan":
        """The plan with what was learnt about its article, which must be that of the master data."""
        master = self.article
        return replace(
            self,
            article=master._replace(
                unit_g=unit.unit_g(master.unit_g),
                sd_g=unit.sd_g(master.unit_g, master.sd_g),
                mean_sd_g=unit.mean_sd_g(master.unit_g),
            ),
        )


@dataclass(slots=True)
class SlotMemory:
    """What must outlive a restart: the count, the weight that it belongs to, and what was learnt about the slot."""

    on_shelf: int
    baseline_g: float | None = None
    noise_g: float = NOISE_FIRST_G
    foreign: dict[str, int] = field(default_factory=dict)
    loads_g: list[float] = field(default_factory=list)
    """What was told as ``unknown`` and still lies there: a bag, as a rule, that will go away again."""
    zero_g: float | None = None
    """What the scale says when nothing lies there, once that was seen; it creeps with the baseline."""
    unit: UnitWeight = field(default_factory=UnitWeight)
    temperature: TemperatureDrift = field(default_factory=TemperatureDrift)
    loads_seen: float = 0.0
    """Rises that went away again or that nothing explained, and ``refills_seen`` those that stayed; fading."""
    refills_seen: float = 0.0

    @property
    def is_bare(self) -> bool:
        """Whether nothing is known to lie there."""
        return not (self.on_shelf or self.loads_g or any(self.foreign.values()))

    def load_seen(self) -> None:
        """Something lay there for a while that was no refill."""
        self.loads_seen = HABIT_FADE * self.loads_seen + 1

    def refill_seen(self) -> None:
        """The shelf was refilled."""
        self.refills_seen = HABIT_FADE * self.refills_seen + 1

    def refill_was_none(self) -> None:
        """What was thought a refill went away again as a whole."""
        self.refills_seen = max(0.0, self.refills_seen - 1)
        self.load_seen()

    def load_came(self, grams: float) -> None:
        """Something unknown lies there now."""
        self.loads_g = [*self.loads_g, grams][-LOADS_MAX:]
        if grams > 0:
            self.load_seen()

    def load_left(self, grams: float) -> None:
        """The load of so many grams, or all of them together, is gone."""
        self.loads_g = [each for each in self.loads_g if each != grams] if grams in self.loads_g else []
