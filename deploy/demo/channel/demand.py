"""Who buys what in the demo's stores: the same in each run with the same seed. Pure."""

import math
from datetime import date
from random import Random
from typing import Final

from deploy.demo import market
from deploy.demo.channel.assortment import listed

STORE_SIZE: Final = (1.5, 1.2, 1.3, 0.9, 1.1, 0.8)
"""How much each store sells, in the order of market.STORES."""
UNITS_A_DAY: Final = 1.7
"""Of an article of popularity 1 in a store of size 1."""
WEEKEND: Final = 1.35
GROWTH_A_WEEK: Final = 0.012
RUSH_WEEK: Final = 8
RUSH: Final = 1.9
"""A promotion: so much more of everything with cola in it, for a week."""


def units_sold(seed: int, store: int, week: int, day: date) -> dict[str, int]:
    """Units by SKU that a store (its place in market.STORES) sells on a day; only what it sold any of."""
    # One generator a store and day: a history that stopped on the way goes on with the same numbers.
    random = Random(f"{seed}/{store}/{day.isoformat()}")  # noqa: S311 - a simulation, not a secret
    sold = {}
    for article in listed(store):
        units = _poisson(random, mean_units(article, store, week, is_weekend=day.weekday() >= 5))  # noqa: PLR2004
        if units:
            sold[article.sku] = units
    return sold


def mean_units(article: market.Article, store: int, week: int, *, is_weekend: bool = False) -> float:
    """Units that a store sells of an article on a day of a week, on average."""
    rush = RUSH if week == RUSH_WEEK and article.sku.startswith("cola") else 1.0
    season = (1 + GROWTH_A_WEEK * week) * (WEEKEND if is_weekend else 1.0) * rush
    return UNITS_A_DAY * STORE_SIZE[store] * article.popularity * season


def _poisson(random: Random, mean: float) -> int:
    """Knuth's product of uniforms, exact for the small means of a store."""
    limit, product, count = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count
