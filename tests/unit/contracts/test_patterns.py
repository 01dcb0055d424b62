"""What comes from outside is matched to its end: $ also matches before a final newline, which no name has."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.ids import is_channel, is_identifier
from platform_api.catalogue.models import Gtin, Sku
from platform_api.kit.money import MoneyText, parse_minor
from platform_api.kit.names import check_org, check_sku
from platform_api.kit.tokens import read_key
from platform_api.tenancy.rules import is_login

ROOT = Path(__file__).parents[3]
PACKAGES = ("contracts", "edge_agent", "stream", "platform_api", "simulators", "deploy")
ROUTES_OF_THE_FRAMEWORK = "platform_api/kit/paths.py"


def amount(text: str) -> int:
    return parse_minor(text, "CNY")


def shown_amount(text: str) -> int:
    return MoneyText(amount=text, currency="CNY").minor


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (check_org, "north"),
        (check_sku, "tea-500"),
        (TypeAdapter(Sku).validate_python, "tea-500"),
        (TypeAdapter(Gtin).validate_python, "4006381333931"),
        (amount, "12.30"),
        (shown_amount, "12.30"),
        (read_key, f"spk_abcd1234_{'x' * 43}"),
        (is_login, "ops@acme"),
        (is_identifier, "gw-1"),
        (is_channel, "bay.weight_g"),
    ],
    ids=["org", "sku", "sku by hand", "gtin", "amount", "shown amount", "key", "login", "identifier", "channel"],
)
def test_a_final_newline_and_a_foreign_digit_are_no_part_of_a_name(check: Callable[[str], object], good: str) -> None:
    assert check(good)
    for bad in (good + "\n", "\n" + good, good + "\r"):
        assert not _takes(check, bad), bad
    digits = good.translate({ord("1"): "\N{FULLWIDTH DIGIT ONE}"})
    assert digits == good or not _takes(check, digits)


def test_nothing_is_matched_but_to_its_end() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path.relative_to(ROOT)) != ROUTES_OF_THE_FRAMEWORK
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _stops_early(node)
    ]
    assert found == []


def _takes(check: Callable[[str], object], text: str) -> bool:
    try:
        return bool(check(text))
    except (ValueError, ValidationError):
        return False


def _stops_early(call: ast.Call) -> bool:
    """Whether a call is Python's match, or tells msgspec a pattern that ends with $ (which is the end for pydantic)."""
    if not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr == "match":
        return True
    told = {word.arg: word.value for word in call.keywords}
    pattern = told.get("pattern")
    ends = isinstance(pattern, ast.Constant) and str(pattern.value).endswith("$")
    return call.func.attr == "Meta" and ends
