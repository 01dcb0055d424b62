"""A synthetic slot: units come and go under noise, drift, hands and bags, with the truth beside it. 5 Hz."""

import math
import random
from dataclasses import dataclass, field
from typing import NamedTuple

from edge_agent.shelf.slot import Article

PERIOD_MS = 200
COLA = Article("cola", 330.0, 3.0)
TEA = Article("tea", 250.0, 3.0)


class Happened(NamedTuple):
    t_ms: int
    kind: str
    units: int


@dataclass
class Trace:
    """``settle`` lets the weight rest, the other verbs change it at once or under a hand."""

    seed: int = 0
    noise_g: float = 10.0
    article: Article = COLA
    neighbour: Article = TEA
    drift_g_per_h: float = 0.5
    samples: list[tuple[int, float]] = field(default_factory=list)
    truth: list[Happened] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.items: list[float] = []
        self.foreign: list[float] = []
        self.bag_g = 0.0

    @property
    def now_ms(self) -> int:
        return len(self.samples) * PERIOD_MS

    def fill(self, units: int) -> "Trace":
        """Units that lie there from the beginning."""
        self.items = [self._unit(self.article) for _ in range(units)]
        return self

    def settle(self, seconds: float) -> "Trace":
        for _ in range(round(seconds * 1000 / PERIOD_MS)):
            self._sample(0.0)
        return self

    def hand(self, seconds: float, grams: float = 300.0) -> "Trace":
        """A hand on the shelf: it presses and lifts."""
        for _ in range(round(seconds * 1000 / PERIOD_MS)):
            self._sample(self._random.uniform(-0.3, 1.0) * grams)
        return self

    def take(self, units: int, *, reach_s: float = 0.8) -> "Trace":
        self.hand(reach_s)
        for _ in range(units):
            self.items.pop(self._random.randrange(len(self.items)))
        return self._note("sale", -units)

    def put_back(self, units: int) -> "Trace":
        self.hand(0.8)
        self.items += [self._unit(self.article) for _ in range(units)]
        return self._note("put_back", units)

    def restock(self, units: int) -> "Trace":
        self.hand(3.0)
        self.items += [self._unit(self.article) for _ in range(units)]
        return self._note("restock", units)

    def lay_foreign(self) -> "Trace":
        self.foreign.append(self._unit(self.neighbour))
        return self

    def take_foreign(self) -> "Trace":
        self.foreign.pop()
        return self

    def bag(self, grams: float, seconds: float) -> "Trace":
        self.bag_g = grams
        self.settle(seconds)
        self.bag_g = 0.0
        return self

    def _note(self, kind: str, units: int) -> "Trace":
        self.truth.append(Happened(self.now_ms, kind, units))
        return self

    def _unit(self, article: Article) -> float:
        return self._random.gauss(article.unit_g, article.sd_g)

    def _sample(self, force_g: float) -> None:
        weight_g = sum(self.items) + sum(self.foreign) + self.bag_g + force_g
        drift_g = self.drift_g_per_h * self.now_ms / 3_600_000
        self.samples.append((self.now_ms, weight_g + drift_g + self._random.gauss(0.0, self.noise_g)))


def shopping_day(  # noqa: PLR0913 - keyword-only traits of the day
    seed: int,
    hours: float,
    *,
    noise_g: float = 10.0,
    article: Article = COLA,
    neighbour: Article = TEA,
    strays: bool = True,
    bags_per_h: float = 0.0,
) -> Trace:
    """Random shoppers: sales, put-backs, restocks when it runs low, hands, 2 % of neighbours' articles (``strays``).

    ``bags_per_h`` bags of 0.2 to 4 kg lie there for 18 s on average; under one in three something is sold.
    """
    rng = random.Random(seed)
    trace = Trace(seed=seed, noise_g=noise_g, article=article, neighbour=neighbour).fill(16)
    trace.settle(10.0)
    bag_ms = _wait_ms(rng, bags_per_h)
    while trace.now_ms < hours * 3_600_000:
        trace.settle(rng.uniform(8.0, 120.0))
        if trace.now_ms > bag_ms:
            _shop_with_a_bag(trace, rng)
            bag_ms = trace.now_ms + _wait_ms(rng, bags_per_h)
        dice = rng.random()
        if len(trace.items) <= 4:
            trace.restock(rng.randint(8, 14))
        elif dice < 0.1:
            trace.hand(rng.uniform(0.4, 4.0))
        elif dice < 0.12 and strays:
            if trace.foreign:
                trace.take_foreign()
            else:
                trace.lay_foreign()
        else:
            trace.take(rng.choices([1, 2, 3], [80, 15, 5])[0])
            if dice > 0.95:
                trace.settle(rng.uniform(3.0, 12.0)).put_back(1)
    return trace.settle(30.0)


def _wait_ms(rng: random.Random, per_h: float) -> float:
    return rng.expovariate(per_h) * 3_600_000 if per_h else math.inf


def _shop_with_a_bag(trace: Trace, rng: random.Random) -> None:
    trace.hand(0.6)
    trace.bag_g = rng.uniform(200.0, 4_000.0)
    trace.settle(3.0 + rng.expovariate(1 / 15.0))
    if rng.random() < 0.3 and len(trace.items) > 4:
        trace.take(1).settle(rng.uniform(2.0, 10.0))
    trace.bag_g = 0.0
    trace.hand(0.6).settle(rng.uniform(4.0, 20.0))
