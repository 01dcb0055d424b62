"""Money: whole minor units, parts that sum to their whole, and no binary fraction anywhere near it."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import platform_api
from platform_api.kit.money import (
    AMOUNT_MAX_MINOR,
    MoneyError,
    MoneyText,
    format_minor,
    parse_minor,
    portion,
    share_out,
)

ROOT = Path(platform_api.__file__).parent
MONEY_PATH = ("kit/money.py", "catalogue/pricing.py", "catalogue/service.py", "orders", "finance", "flows", "stock")
"""Modules that touch amounts. A folder counts whole; what does not exist yet is watched from its first day."""

AMOUNTS = st.integers(-AMOUNT_MAX_MINOR, AMOUNT_MAX_MINOR)
CURRENCIES = st.sampled_from(["CNY", "EUR", "JPY", "KWD"])


@given(AMOUNTS, CURRENCIES)
def test_an_amount_survives_being_written_and_read(amount: int, currency: str) -> None:
    assert parse_minor(format_minor(amount, currency), currency) == amount


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("12.30", "CNY", 1230), ("12.3", "CNY", 1230), ("-0.05", "CNY", -5), ("7", "JPY", 7), ("1.234", "KWD", 1234)],
)
def test_amounts_are_read_by_the_places_of_their_currency(text: str, currency: str, minor: int) -> None:
    assert parse_minor(text, currency) == minor


@pytest.mark.parametrize(("text", "currency"), [("1.234", "CNY"), ("1.5", "JPY"), ("1e3", "CNY"), ("9" * 20, "CNY")])
def test_what_a_currency_cannot_express_is_refused(text: str, currency: str) -> None:
    with pytest.raises(MoneyError):
        parse_minor(text, currency)


@given(st.integers(-(10**18), 10**18), CURRENCIES)
def test_any_sum_that_is_stored_can_be_shown(amount: int, currency: str) -> None:
    assert MoneyText.of(amount, currency).amount == format_minor(amount, currency)


@given(AMOUNTS, st.lists(st.integers(0, 10**9), min_size=1, max_size=50))
def test_parts_sum_to_their_whole_and_differ_from_their_quota_by_less_than_one(total: int, weights: list[int]) -> None:
    parts = share_out(total, weights)
    assert sum(parts) == total
    counted = weights if any(weights) else [1] * len(weights)
    for part, weight in zip(parts, counted, strict=True):
        assert abs(part * sum(counted) - total * weight) < sum(counted)


def test_units_left_over_go_to_the_largest_remainders_and_then_to_the_first() -> None:
    assert share_out(100, [1, 1, 1]) == [34, 33, 33]
    assert share_out(10, [5, 3, 2, 0]) == [5, 3, 2, 0]
    assert share_out(7, [3, 2, 2]) == [3, 2, 2]
    assert share_out(-100, [1, 1, 1]) == [-34, -33, -33]
    assert share_out(5, [0, 0]) == [3, 2]


@pytest.mark.parametrize(
    ("amount", "rate", "result"), [(1000, 1300, 130), (15, 1000, 2), (-15, 1000, -2), (4, 1000, 0)]
)
def test_a_rate_is_rounded_to_the_nearest_and_halves_away_from_zero(amount: int, rate: int, result: int) -> None:
    assert portion(amount, rate, 10_000) == result


def test_there_is_no_float_on_the_way_of_money() -> None:
    files = [
        file
        for name in MONEY_PATH
        for file in ([ROOT / name] if name.endswith(".py") else sorted((ROOT / name).rglob("*.py")))
    ]
    assert len(files) >= 3
    assert [finding for file in files for finding in floats(file.read_text(), file.name)] == []


@pytest.mark.parametrize(
    "text", ["x = 1.5", "x = float(y)", "def f(x: float): ...", "x = a / b", "x /= 2", "round(x, 2)"]
)
def test_the_lint_finds_floats(text: str) -> None:
    assert floats(text, "example")


def test_no_column_of_money_is_a_float() -> None:
    folder = Path(__file__).parents[3] / "deploy" / "migrations" / "sql"
    columns = [
        line.strip()
        for file in sorted(folder.glob("*.sql"))
        for line in file.read_text().splitlines()
        if "_minor" in line and ("double" in line or "real" in line.split() or "float" in line)
    ]
    assert columns == []


def floats(text: str, name: str) -> list[str]:
    """Where a module makes, names or divides into floats."""
    found = []
    for node in ast.walk(ast.parse(text)):
        is_float = (
            (isinstance(node, ast.Constant) and isinstance(node.value, float))
            or (isinstance(node, ast.Name) and node.id in {"float", "round"})
            or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
        )
        if is_float:
            found.append(f"{name}:{getattr(node, 'lineno', 0)}")
    return found
