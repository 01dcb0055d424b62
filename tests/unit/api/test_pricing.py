from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_api.catalogue.pricing import Buyer, Item, Level, Wanted, is_entitled, resolve, ties

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
DAY = timedelta(days=1)
BUYER = Buyer(["store", "dealer", "brand"], "gold", "CNY")


def item(list_id: str, level: Level, target: str, amount: int, **other: Any) -> Item:
    values: dict[str, Any] = {"currency": "CNY", "sku": "tea", "uom": "case", "min_qty": 1, **other}
    return Item(list_id=list_id, level=level, target=target, amount_minor=amount, **values)


LADDER = [
    item("special", Level.SPECIAL, "store", 100),
    item("special-above", Level.SPECIAL, "dealer", 110),
    item("own", Level.ORG, "store", 120),
    item("dealer", Level.ORG, "dealer", 130),
    item("brand", Level.ORG, "brand", 140),
    item("gold", Level.SEGMENT, "gold", 150),
    item("all", Level.DEFAULT, "", 160),
]


@pytest.mark.parametrize("step", range(len(LADDER)))
def test_lists_are_asked_in_their_order_whatever_order_they_come_in(step: int) -> None:
    price = resolve(Wanted("tea", "case", 5), BUYER, reversed(LADDER[step:]), NOW)
    assert price is not None
    assert (price.amount_minor, price.explanation["list"]) == (LADDER[step].amount_minor, LADDER[step].list_id)
    assert {one["list"] for one in price.explanation["passed_over"]} == {one.list_id for one in LADDER[step + 1 :]}


def test_a_list_of_somebody_else_another_pack_or_currency_gives_no_price() -> None:
    others = [
        item("other", Level.ORG, "stranger", 1),
        item("silver", Level.SEGMENT, "silver", 1),
        item("unit", Level.DEFAULT, "", 1, uom="unit"),
        item("euro", Level.DEFAULT, "", 1, currency="EUR"),
        item("milk", Level.DEFAULT, "", 1, sku="milk"),
    ]
    assert resolve(Wanted("tea", "case", 1), BUYER, others, NOW) is None
    nobody = Buyer(["store"], "", "CNY")
    assert resolve(Wanted("tea", "case", 1), nobody, [item("none", Level.SEGMENT, "", 1)], NOW) is None


@pytest.mark.parametrize(("packs", "amount"), [(1, 100), (9, 100), (10, 90), (49, 90), (50, 80), (500, 80)])
def test_within_a_list_the_largest_quantity_that_is_reached_counts(packs: int, amount: int) -> None:
    steps = [item("own", Level.ORG, "store", price, min_qty=qty) for qty, price in ((1, 100), (10, 90), (50, 80))]
    price = resolve(Wanted("tea", "case", packs), BUYER, [*steps, item("all", Level.DEFAULT, "", 1)], NOW)
    assert price is not None
    assert price.amount_minor == amount


def test_a_price_holds_from_its_first_moment_until_before_its_last() -> None:
    later = item("own", Level.ORG, "store", 90, valid_from=NOW, valid_to=NOW + DAY)
    base = item("all", Level.DEFAULT, "", 160)
    found = [resolve(Wanted("tea", "case", 1), BUYER, [later, base], at) for at in (NOW - DAY, NOW, NOW + DAY)]
    assert [price and price.amount_minor for price in found] == [160, 90, 160]


def test_prices_tie_when_nothing_decides_between_them() -> None:
    first = item("a", Level.ORG, "store", 90, valid_from=NOW, valid_to=NOW + 2 * DAY)
    assert ties([first, item("b", Level.ORG, "store", 95, valid_from=NOW + DAY)])
    assert not ties([first, item("b", Level.ORG, "store", 95, valid_from=NOW + 2 * DAY)])
    assert not ties([first, item("b", Level.ORG, "store", 95, min_qty=2)])
    assert not ties([first, item("b", Level.ORG, "dealer", 95)])


@given(st.permutations([item("a", Level.ORG, "store", 1, min_qty=qty) for qty in range(1, 8)]), st.integers(1, 9))
def test_the_order_of_prices_never_changes_the_outcome(items: list[Item], packs: int) -> None:
    price = resolve(Wanted("tea", "case", packs), BUYER, items, NOW)
    assert price is not None
    assert price.explanation["min_qty"] == min(packs, 7)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ({}, False),
        ({("brand", "*"): True}, True),
        ({("brand", "*"): True, ("dealer", "tea"): False}, False),
        ({("brand", "tea"): False, ("dealer", "*"): True}, True),
        ({("store", "*"): False, ("store", "tea"): True}, True),
        ({("brand", "*"): True, ("store", "milk"): False}, True),
    ],
)
def test_the_nearest_word_about_a_sku_counts(words: dict[tuple[str, str], bool], *, allowed: bool) -> None:
    assert is_entitled("tea", BUYER.orgs, words) is allowed
