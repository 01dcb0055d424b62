"""Nouns that files hold: their names, and how a text is kept from being taken for a formula."""

from enum import StrEnum
from typing import Final

GUARDED: Final = frozenset("=+-@\t\r")
"""What a spreadsheet takes for a formula at the beginning of a text (OWASP, "CSV injection")."""


class Kind(StrEnum):
    """What can be imported, in an order in which each finds what it refers to.

    The last three are documents: what happened, posted once by its number, while the others are registered as told.
    """

    ORGS = "orgs"
    SITES = "sites"
    DEVICES = "devices"
    SKUS = "skus"
    PACKS = "packs"
    SLOTS = "slots"
    POLICIES = "policies"
    PRICE_LISTS = "price-lists"
    PRICES = "prices"
    ENTITLEMENTS = "entitlements"
    CREDIT = "credit-limits"
    POS_SALES = "pos-sales"
    CHANNEL_SETTINGS = "channel-settings"
    PROMOTION_PLAN = "promotion-plan"
    MOVES = "stock-moves"
    ORDERS = "orders"
    SHIPMENTS = "shipments"


DOCUMENTS: Final = frozenset({Kind.MOVES, Kind.ORDERS, Kind.SHIPMENTS})


class Noun(StrEnum):
    """What can be exported: all that can be imported, and what the platform found out itself."""

    ORGS = Kind.ORGS
    SITES = Kind.SITES
    DEVICES = Kind.DEVICES
    SKUS = Kind.SKUS
    PACKS = Kind.PACKS
    SLOTS = Kind.SLOTS
    POLICIES = Kind.POLICIES
    PRICE_LISTS = Kind.PRICE_LISTS
    PRICES = Kind.PRICES
    ENTITLEMENTS = Kind.ENTITLEMENTS
    CREDIT = Kind.CREDIT
    POS_SALES = Kind.POS_SALES
    CHANNEL_SETTINGS = Kind.CHANNEL_SETTINGS
    PROMOTION_PLAN = Kind.PROMOTION_PLAN
    MOVES = Kind.MOVES
    ORDERS = Kind.ORDERS
    SHIPMENTS = Kind.SHIPMENTS
    ORDER_LINES = "order-lines"
    USERS = "users"
    GATEWAYS = "gateways"
    LOCATIONS = "locations"
    STOCK = "stock"
    LOTS = "lots"
    COUNTS = "counts"
    CASES = "recon-cases"
    POSITIONS = "shelf-positions"
    EVENTS = "events"
    ANOMALIES = "anomalies"
    PROPOSALS = "proposals"
    RETURNS = "returns"
    TRANSFERS = "transfers"
    CARRIERS = "carriers"
    CREDIT_ACCOUNTS = "credit-accounts"
    RECEIVABLES = "receivables"
    FORECASTS = "forecasts"
    AUDIT_LOG = "audit-log"


def guarded(text: str) -> str:
    """A text that is not taken for a formula: with an apostrophe before it where it could be.

    What begins with an apostrophe and such a character gets another, so that the import can take exactly one off.
    """
    return f"'{text}" if text.lstrip("'")[:1] in GUARDED else text


def unguarded(text: str) -> str:
    """A text as it was before ``guarded``."""
    return text[1:] if text[:1] == "'" and text.lstrip("'")[:1] in GUARDED else text
