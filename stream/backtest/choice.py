"""The policy that chooses by itself, from what every candidate would have cost so far. Pure.

All candidates live through the past beside the real shop, on the same demand. In each period every series orders up to
the mean of their levels, in which a candidate weighs exponentially less the more it has cost (Vovk 1990; Cesa-Bianchi
and Lugosi 2006, "Prediction, learning, and games", chapter 2): the best one alone would change too often, and its order
with it. A cost is the series' own record and that of all series of its kind, which weighs as ``POOLED_PERIODS`` of its
own, since the own record of one slow series says little. Nothing is looked at before its period has passed.

A lack may cost more than its penalty says: among several prices of a lost unit the policy takes the cheapest with which
it would have lost no more than textbook base stock at its best weight so far. Orders that swing cost the supplier: of
several shares of what is missing that are ordered at once it takes the largest with which they would have swung little,
as long as that would have cost less than the textbook.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.backtest.candidates import BATCHES, Candidates, Levels
from stream.backtest.policies import economic_lot
from stream.backtest.simulation import Outcome, Shops, Terms
from stream.demand.regression import Plan
from stream.policy.rules import Rule

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LOST_PRICES: Final = (1.0, 1.25, 1.6)
"""Prices of a lost unit, in penalties."""
SHARES: Final = (1.0, 0.8, 0.65, 0.5, 0.4, 0.3)
"""Shares of what is missing that are ordered at once, where an order costs nothing."""
CALM: Final = 1.4
"""Variance of orders over that of demand, the median of the series, that is little."""
COST_MAX: Final = 0.97
"""Cost of calm orders over that of the textbook, at most."""
POOLED_PERIODS: Final = 300.0
KEEP: Final = 0.98
"""Share of a record that counts after one more period …"""
KEEP_SWING: Final = 0.995
"""… and of what was seen of swinging orders, and of the textbook beside the choices."""
TEMPERATURE: Final = 0.12
"""A candidate that cost this share more than the best one weighs a factor e less."""
WARM_PERIODS: Final = 6
INTERMITTENT_SHARE: Final = 0.3
"""Series without any demand in this share of periods are a kind of their own."""


@dataclass
class _Record:
    """Discounted sums a series and variant: stock at the end, units lost, orders; and periods a series."""

    stock: Floats
    lost: Floats
    orders: Floats
    periods: Floats
    zeros: Floats

    def add(self, outcome: Outcome, units: Floats, known: Bools) -> None:
        seen = known[:, None]
        self.stock = KEEP * self.stock + np.where(seen, outcome.end_stock, 0.0)
        self.lost = KEEP * self.lost + np.where(seen, outcome.lost, 0.0)
        self.orders = KEEP * self.orders + np.where(seen, outcome.ordered > 0, 0.0)
        self.periods = KEEP * self.periods + known
        self.zeros = KEEP * self.zeros + (known & (units == 0))


class _Swing:
    """Discounted moments of orders and demand: arrays of shape (series, variants)."""

    def __init__(self, series: int, variants: int) -> None:
        self._periods = np.zeros((series, 1))
        self._orders = np.zeros((2, series, variants))
        self._demand = np.zeros((2, series, 1))

    def add(self, ordered: Floats, units: Floats, known: Bools) -> None:
        seen = known[:, None]
        self._periods = KEEP_SWING * self._periods + seen
        orders, demand = np.where(seen, ordered, 0.0), np.where(seen, units[:, None], 0.0)
        self._orders = KEEP_SWING * self._orders + np.stack([orders, orders**2])
        self._demand = KEEP_SWING * self._demand + np.stack([demand, demand**2])

    def bullwhip(self) -> Floats:
        """Variance of orders over that of demand, the median of the series, a variant."""
        periods = np.maximum(self._periods, 1.0)
        orders, demand = (each[1] / periods - (each[0] / periods) ** 2 for each in (self._orders, self._demand))
        varied = demand[:, 0] > 0
        if not varied.any():
            return np.zeros(orders.shape[1])
        found: Floats = np.median(orders[varied] / demand[varied], axis=0)
        return found


class Automatic:
    """Weighs candidates, see above. ``opening``: opening stock of each series.

    Call ``rule``, ``observe`` and ``learn`` once in every period, in this order.
    """

    def __init__(self, terms: Terms, opening: Floats, candidates: Candidates) -> None:
        self._terms = terms
        self._candidates = candidates
        self._lots = BATCHES if terms.order_cost > 0 else (0.0,)
        self._variants = candidates.count * len(self._lots)
        self._mean = opening / 2
        self._scale = np.maximum(self._mean, 0.5)
        self._shops = Shops(opening, self._variants, terms.lead_time)
        self._shares = SHARES if terms.order_cost == 0 else (1.0,)
        shadows = len(LOST_PRICES) * len(self._shares)
        self._shadows = Shops(opening, shadows, terms.lead_time)
        self._swing = _Swing(len(opening), shadows)
        blank = np.zeros((len(opening), self._variants))
        self._record = _Record(blank, blank, blank, np.zeros(len(opening)), np.zeros(len(opening)))
        self._textbook_lost = np.zeros(len(candidates.textbook))
        self._textbook_cost = np.zeros(len(candidates.textbook))
        self._shadow_lost = np.zeros((len(self._shares), len(LOST_PRICES)))
        self._shadow_cost = np.zeros((len(self._shares), len(LOST_PRICES)))
        self._rule = self._shadow_rule = Rule(blank, blank)

    def rule(self, plans: list[Plan], period: int) -> Rule:
        """Rule of ``period``, arrays of shape (series, 1)."""
        levels = self._candidates.levels(plans, period)
        self._rule = self._lotted(levels)
        weights = self._weights()
        up_to = _means(self._rule.up_to, weights)
        reorder_at = _means(self._rule.reorder_at, weights) if len(self._lots) > 1 else up_to
        cap = _means(levels.cap, weights) if len(self._lots) == 1 else np.full_like(up_to, np.inf)
        share, price = self._choice()
        usual = self._candidates.usual[:, None]
        self._shadow_rule = _joined([_shared(reorder_at, up_to, cap, each, usual) for each in self._shares])
        one = [price]
        return _shared(reorder_at[:, one], up_to[:, one], cap[:, one], self._shares[share], usual)

    def observe(self, review: Bools, units: Floats, known: Bools) -> None:
        """Let every candidate live through the period whose rule was asked for last."""
        outcome = self._shops.pass_period(self._rule, review, units)
        self._record.add(outcome, units, known)
        textbook = self._candidates.textbook
        lost = np.where(known[:, None], outcome.lost[:, textbook], 0.0).sum(axis=0)
        stock = np.where(known[:, None], outcome.end_stock[:, textbook], 0.0).sum(axis=0)
        self._textbook_lost = KEEP_SWING * self._textbook_lost + lost
        self._textbook_cost = (
            KEEP_SWING * self._textbook_cost + self._terms.penalty * lost + self._terms.holding * stock
        )
        shadow = self._shadows.pass_period(self._shadow_rule, review, units)
        shape = self._shadow_lost.shape
        lost = np.where(known[:, None], shadow.lost, 0.0).sum(axis=0).reshape(shape)
        stock = np.where(known[:, None], shadow.end_stock, 0.0).sum(axis=0).reshape(shape)
        self._shadow_lost = KEEP_SWING * self._shadow_lost + lost
        self._shadow_cost = KEEP_SWING * self._shadow_cost + self._terms.penalty * lost + self._terms.holding * stock
        self._swing.add(shadow.ordered, units, known)

    def learn(self, plan: Plan, period: int, units: Floats, known: Bools) -> None:
        """Learn the demand of ``period`` where it is ``known``."""
        self._candidates.learn(plan, period, units, known)

    def _lotted(self, candidates: Levels) -> Rule:
        up_to = candidates.up_to
        if len(self._lots) == 1:
            cap = np.ceil(candidates.cap)
            cap[:, self._candidates.textbook] = np.inf
            return Rule(up_to, up_to, cap=cap)
        lot = economic_lot(self._mean, self._terms)[:, None]
        levels = np.concatenate([up_to + share * lot for share in self._lots], axis=1)
        return Rule(np.tile(up_to, (1, len(self._lots))), levels)

    def _weights(self) -> list[Floats]:
        """Weights of the variants of each series, an array of shape (series, variants) a price of a lost unit."""
        record, terms = self._record, self._terms
        if record.periods.sum() < WARM_PERIODS * len(record.periods):
            warm = np.zeros((1, self._variants))
            warm[0, self._candidates.textbook[len(self._candidates.textbook) // 2]] = 1.0
            return [warm] * len(LOST_PRICES)
        sparse = record.zeros > INTERMITTENT_SHARE * np.maximum(record.periods, 1.0)
        kinds = np.stack([~sparse, sparse]).astype(np.float64)
        weight = np.maximum(kinds @ (self._scale * record.periods), 1e-9)
        kept = terms.holding * record.stock + terms.order_cost * record.orders
        missed = terms.penalty * record.lost
        pooled_kept = (kinds @ kept) / weight[:, None]
        pooled_missed = (kinds @ missed) / weight[:, None]
        kind = sparse.astype(np.intp)
        own_kept = kept / self._scale[:, None] + POOLED_PERIODS * pooled_kept[kind]
        own_missed = missed / self._scale[:, None] + POOLED_PERIODS * pooled_missed[kind]
        return [_shares(own_kept + price * own_missed) for price in LOST_PRICES]

    def _choice(self) -> tuple[int, int]:
        """Share and price of a lost unit, by their places.

        The price is the cheapest that would have lost no more units than textbook base stock at its best weight.
        """
        best = int(self._textbook_cost.argmin(axis=0))
        allowed, cost_max = self._textbook_lost[best], COST_MAX * self._textbook_cost[best]
        enough = self._shadow_lost <= allowed
        cost = np.where(enough, self._shadow_cost, np.inf)
        prices = [int(row.argmin()) if np.isfinite(row).any() else len(LOST_PRICES) - 1 for row in cost]
        bullwhip = self._swing.bullwhip().reshape(self._shadow_lost.shape)
        chosen = 0
        for share, price in enumerate(prices):
            is_cheap = enough[share, price] and self._shadow_cost[share, price] <= cost_max
            calmer = bullwhip[share, price] < bullwhip[chosen, prices[chosen]]
            if share and is_cheap and calmer and bullwhip[chosen, prices[chosen]] > CALM:
                chosen = share
        return chosen, prices[chosen]


def _shared(reorder_at: Floats, up_to: Floats, cap: Floats, share: float, usual: Floats) -> Rule:
    """The same levels, of which only a share is ordered at once."""
    whole = np.ceil(cap)
    if share == 1.0:
        return Rule(reorder_at, up_to, cap=whole)
    return Rule(np.full_like(up_to, np.inf), up_to, cap=whole, share=np.full_like(up_to, share), usual=usual)


def _joined(rules: list[Rule]) -> Rule:
    """Variants of several rules side by side."""
    shape = rules[0].up_to.shape
    rows = zip(*((rule.reorder_at, rule.up_to, rule.cap, rule.share, rule.usual) for rule in rules), strict=True)
    columns = [np.concatenate([np.broadcast_to(np.asarray(values), shape) for values in each], axis=1) for each in rows]
    return Rule(columns[0], columns[1], cap=columns[2], share=columns[3], usual=columns[4])


def _means(levels: Floats, weights: list[Floats]) -> Floats:
    """Weighted means over the variants, shape (series, number of weightings)."""
    means: Floats = np.stack([np.einsum("ij,ij->i", levels, np.broadcast_to(w, levels.shape)) for w in weights], axis=1)
    return means


def _shares(cost: Floats) -> Floats:
    """Weights that add up to 1 in each row, by how much more than the lowest of the row a cost is."""
    lowest = cost.min(axis=1, keepdims=True)
    share = np.exp(-(cost / np.maximum(lowest, 1e-9) - 1.0) / TEMPERATURE)
    normal: Floats = share / share.sum(axis=1, keepdims=True)
    return normal
