"""Files of any kind: what is registered is written by imports, documents are posted by what posts any other.

A document is posted in a savepoint of its own, so that each one's fault is told; with any fault nothing stays. What was
posted is remembered by its number and its contents: told again it changes nothing.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from itertools import groupby, islice
from typing import Any, Final, cast
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from platform_api.flows import importing_moves, importing_orders, importing_shipments
from platform_api.imports import batch_queries
from platform_api.imports.document_rows import LINES_MAX
from platform_api.imports.rows import Row
from platform_api.imports.service import Outcome, Tally, import_rows, register
from platform_api.imports.staging import ROWS_MAX, Fault, Staged, read_rows
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, InputError
from platform_api.kit.nouns import DOCUMENTS, Kind
from platform_api.orders.service import Actor
from platform_api.stock.ledger import StockError, UnknownPlaceError

LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%(tenant_id)s, 7))"
TENANT: Final = "SELECT FROM tenant WHERE tenant_id = %(tenant_id)s"
_LINE: Final = re.compile(r"lines\.(\d+)(?:\.(\w+))?")


@dataclass(frozen=True, slots=True)
class Author:
    """Who imports; the command line does so as the platform."""

    login: str = "import"
    user_id: UUID | None = None


PLATFORM: Final = Author()


@dataclass(frozen=True, slots=True)
class Part:
    """What is posted of a document. ``contents`` None: the file says nothing of it."""

    name: str
    contents: Callable[[Sequence[Any]], Sequence[object] | None]
    post: Callable[[Connection, Actor, Sequence[Any], datetime], UUID]


def _all(rows: Sequence[Row]) -> list[object]:
    return [row.model_dump(mode="json", exclude_defaults=True) for row in rows]


NUMBERS: Final[dict[Kind, Callable[[Any], str]]] = {
    Kind.MOVES: importing_moves.number_of,
    Kind.ORDERS: importing_orders.number_of,
    Kind.SHIPMENTS: importing_shipments.number_of,
}
PARTS: Final[dict[Kind, tuple[Part, ...]]] = {
    Kind.MOVES: (Part("stock-moves", _all, importing_moves.post),),
    Kind.ORDERS: (Part("orders", _all, importing_orders.post),),
    Kind.SHIPMENTS: (
        Part("shipments", importing_shipments.sent, importing_shipments.dispatch),
        Part("deliveries", importing_shipments.signed, importing_shipments.deliver),
    ),
}


def import_file(  # noqa: PLR0913 - which file, whose, by whom, and how much of it
    connection: psycopg.Connection[Any],
    kind: Kind,
    content: bytes,
    *,
    tenant: str | None = None,
    dry_run: bool = False,
    author: Author = PLATFORM,
    rows_max: int = ROWS_MAX,
) -> Outcome:
    """Import a file of any kind in a transaction of its own; ``dry_run`` tries everything and lets nothing stay.

    The same file again changes nothing. ``tenant`` is whose file it is, when that is known.
    """
    write = partial(_post_all, author) if kind in DOCUMENTS else register
    return import_rows(connection, kind, read_rows(kind, content, tenant, rows_max), write, dry_run=dry_run)


def _post_all(
    author: Author, connection: psycopg.Connection[Any], kind: Kind, rows: Iterator[Staged], tally: Tally
) -> None:
    """Post documents one after the other; no more than one is in memory."""
    before = connection.row_factory
    connection.row_factory = dict_row
    try:
        tx = cast("Connection", connection)
        for tenant, documents in groupby(rows, key=lambda item: item.row.tenant):
            # One import of a tenant's documents at a time: another that brings the same ones finds them posted.
            tx.execute(LOCK, {"tenant_id": tenant})
            is_known = tx.execute(TENANT, {"tenant_id": tenant}).fetchone() is not None
            actor = Actor(tenant, author.login, author.user_id)
            for number, group in groupby(documents, key=lambda item: NUMBERS[kind](item.row)):
                lines = list(islice(group, LINES_MAX + 1))
                if not is_known:
                    tally.faults.append(Fault(lines[0].line, "tenant", f"there is no tenant {tenant!r}"))
                elif len(lines) > LINES_MAX:
                    tally.faults.append(Fault(lines[-1].line, "", f"a document has at most {LINES_MAX} lines"))
                else:
                    _post(tx, actor, kind, number, lines, tally)
                if tally.is_hopeless:
                    return
    finally:
        connection.row_factory = before


def _post(tx: Connection, actor: Actor, kind: Kind, number: str, rows: Sequence[Staged], tally: Tally) -> None:
    new = []
    for part in PARTS[kind]:
        contents = part.contents([item.row for item in rows])
        if contents is None:
            continue
        try:
            with tx.transaction():
                new.append(_post_part(tx, actor, part, number, contents, rows))
        except (ApiError, InputError, StockError, psycopg.IntegrityError, psycopg.DataError) as error:
            tally.faults += _faults(error, rows)
            return
    if new[0]:
        tally.created += len(rows)
    elif any(new):
        tally.updated += len(rows)


def _post_part(
    tx: Connection, actor: Actor, part: Part, number: str, contents: Sequence[object], rows: Sequence[Staged]
) -> bool:
    """Whether the part was new. Raises ApiError (409) when it was told with other contents."""
    digest = sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    place = {"tenant_id": actor.tenant_id, "kind": part.name, "number": number}
    known = tx.execute(batch_queries.DOCUMENT, place).fetchone()
    if known is None:
        subject = part.post(tx, actor, [item.row for item in rows], datetime.now(UTC))
        tx.execute(batch_queries.KEEP_DOCUMENT, {**place, "sha256": digest, "subject": subject})
    elif known["sha256"] != digest:
        raise ApiError(HTTPStatus.CONFLICT, f"{number} was told before with other contents, or its lines stand apart")
    return known is None


def _faults(error: Exception, rows: Sequence[Staged]) -> Iterator[Fault]:
    """What the services refuse, by row and column: they name fields of a body, lines by their place in it."""
    first = rows[0].line
    if isinstance(error, InputError):
        for problem in error.problems:
            _, _, where = problem.where.partition("body.")
            if (line := _LINE.fullmatch(where)) is not None:
                yield Fault(rows[int(line[1])].line, line[2] or "", problem.message)
            else:
                yield Fault(first, where, problem.message)
    elif isinstance(error, UnknownPlaceError):
        yield Fault(first, "", f"there is no location {error}")
    elif isinstance(error, psycopg.Error):
        yield Fault(first, "", f"cannot be stored: {error.diag.constraint_name or error.diag.message_primary}")
    else:
        yield Fault(first, "", error.detail if isinstance(error, ApiError) else str(error))
