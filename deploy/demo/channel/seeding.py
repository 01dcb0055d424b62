"""Brings the channel into a database that has the demo's companies: master data, history, and what is open today."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar, cast

import psycopg
from psycopg.rows import DictRow, dict_row

from contracts.errors import UserError
from deploy.demo.channel import assortment, history, queries, today
from deploy.demo.channel.desk import TENANT, Desk
from deploy.demo.channel.pictures import picture_of
from platform_api.catalogue import pictures
from platform_api.catalogue import queries as catalogue
from platform_api.catalogue import service as prices
from platform_api.imports.service import import_csv
from platform_api.kit.nouns import Kind

SEED: Final = 20_260_105

TRIES_MAX: Final = 20

T = TypeVar("T")
Say = Callable[[str], None]


def seed_channel(connection: psycopg.Connection[Any], now: datetime, say: Say, seed: int = SEED) -> dict[str, int]:
    """Bring in the channel as of ``now`` (aware UTC), and count what is there. May be repeated, and stopped anywhere.

    ``connection`` is the owner's, outside of a transaction; each step is one. The demo's companies and people must be
    there. Raises UserError when something else is registered under the same names.
    """
    connection.row_factory = dict_row
    tx = cast("psycopg.Connection[DictRow]", connection)
    register(tx)
    with tx.transaction():
        weeks = history.weeks_of(_desk(tx), now.date())
    for week in weeks:
        if in_peace(partial(_play, tx, week, now, seed)):
            say(f"the channel's history: week {week.number + 1} of {history.WEEKS}")
    in_peace(partial(_lay_out, tx, now))
    row = tx.execute(queries.COUNTS, {"tenant_id": TENANT}).fetchone()
    assert row is not None
    return dict(row)


def in_peace(step: Callable[[], T]) -> T:
    """Do a step that is one transaction, again when it was ended since another waited for it and it for the other.

    A week locks balances in the order in which things happened, while the worker books sales of the same shelves.
    Raises DeadlockDetected after TRIES_MAX times.
    """
    for _ in range(TRIES_MAX - 1):
        with suppress(psycopg.errors.DeadlockDetected):
            return step()
    return step()


def _play(tx: psycopg.Connection[DictRow], week: history.Week, now: datetime, seed: int) -> bool:
    """Whether the week was still to be played."""
    with tx.transaction():
        desk = _desk(tx)
        if week not in history.weeks_of(desk, now.date()):
            return False  # another has played it meanwhile
        if week.number == 0:
            history.open_books(desk, week)
        history.play(desk, week, seed)
        return True


def _lay_out(tx: psycopg.Connection[DictRow], now: datetime) -> None:
    with tx.transaction():
        today.lay_out(_desk(tx), now)


def register(tx: psycopg.Connection[DictRow]) -> None:
    """Articles with packs, prices, pictures and lots; warehouses, policies and credit. Raises UserError."""
    place = {"tenant_id": TENANT}
    for kind, text in assortment.tables().items():
        if kind in {Kind.PRICE_LISTS, Kind.PRICES} and _has_prices(tx):
            continue  # published lists stay as they are
        outcome = import_csv(tx, kind, text.encode())
        if outcome.faults:
            fault = outcome.faults[0]
            message = f"the channel's {kind}.csv, line {fault.line}: {fault.column} {fault.text}"
            raise UserError(message, "is this database used for something else?")
    with tx.transaction():
        taxed = {"tax": assortment.TAX_BASIS_POINTS, "by_lot": sorted(assortment.BY_LOT)}
        tx.execute(queries.TAXED, {**place, **taxed})
        tx.execute(queries.INSERT_CARRIER, place)
        tx.execute(catalogue.LOCK_PUBLICATION, place)
        for row in tx.execute(queries.DRAFT_LISTS, place).fetchall():
            ties = prices.publish(tx, {**place, "list_id": row["list_id"]})
            assert not ties, ties
        have = {row["sku"] for row in tx.execute(queries.IMAGED, place)}
        for number, article in enumerate(assortment.ARTICLES):
            if article.sku not in have:
                picture = picture_of(article.sku, number, len(assortment.ARTICLES))
                pictures.keep(tx, TENANT, article.sku, picture)


def _has_prices(tx: psycopg.Connection[DictRow]) -> bool:
    key = {"tenant_id": TENANT, "list_id": assortment.STANDARD}
    row = tx.execute(catalogue.LOCK_LIST, key).fetchone()
    return row is not None and row["state"] != "draft"


def _desk(tx: psycopg.Connection[DictRow]) -> Desk:
    """The people of the tenant, in a transaction that no other history shares. Raises UserError."""
    tx.execute(queries.LOCK, {"tenant_id": TENANT})
    people = {row["login"]: row["user_id"] for row in tx.execute(queries.PEOPLE, {"tenant_id": TENANT})}
    if "hq@demo" not in people:
        message = f"tenant {TENANT} has no people yet"
        raise UserError(message, "start the demo with `shelfpulse up --demo`")
    return Desk(tx, people)
