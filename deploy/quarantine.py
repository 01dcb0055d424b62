"""``shelfpulse quarantine``: what was refused and why, and what to do about it.

Nothing is published or stored from here: a row that is to be tried again is marked, and the stream takes it up in one
of its epochs, so that what it brings is stored once and stays provable (decision 12).
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from contracts.errors import UserError
from contracts.frames import Reason
from deploy.local.deadline import wait_until
from deploy.local.discovery import find_stack
from stream import storage
from stream.storage import Connection

PAGE: Final = 50
PAGE_MAX: Final = 10_000
MARKED_MAX: Final = 100_000
"""Rows that one call may mark; the rest needs another call."""

_WHERE: Final = """
    (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s) AND (%(gateway)s::text IS NULL OR gateway_id = %(gateway)s)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s) AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
    AND (%(ids)s::bigint[] IS NULL OR quarantine_id = ANY(%(ids)s))
"""
LIST: Final = f"""
    SELECT quarantine_id, received_at, tenant_id, gateway_id, lane, ep, seq, topic, reason, detail, payload_bytes, state
    FROM quarantine
    WHERE {_WHERE} AND (%(before)s::bigint IS NULL OR quarantine_id < %(before)s)
    ORDER BY quarantine_id DESC LIMIT %(limit)s
"""  # noqa: S608 - put together from constants
SHOW: Final = """
    SELECT quarantine_id, received_at, tenant_id, gateway_id, lane, ep, seq, topic, reason, detail, payload_bytes,
           state, payload
    FROM quarantine WHERE quarantine_id = %(id)s
"""
# What is with the stream already is left to it. A payload that was cut or forgotten cannot be read again.
RETRY: Final = f"""
    UPDATE quarantine SET state = 'retry'
    WHERE quarantine_id IN (
        SELECT quarantine_id FROM quarantine
        WHERE {_WHERE} AND state = 'held' AND octet_length(payload) = payload_bytes
        ORDER BY quarantine_id LIMIT %(limit)s
    ) AND state = 'held'
    RETURNING quarantine_id
"""  # noqa: S608 - put together from constants
DISCARD: Final = f"""
    UPDATE quarantine SET state = 'discarded', payload = ''
    WHERE quarantine_id IN (
        SELECT quarantine_id FROM quarantine WHERE {_WHERE} AND state = 'held' ORDER BY quarantine_id LIMIT %(limit)s
    ) AND state = 'held'
    RETURNING quarantine_id
"""  # noqa: S608 - put together from constants
STATES: Final = """
    SELECT state, count(*) FROM quarantine WHERE quarantine_id = ANY(%(ids)s) GROUP BY state ORDER BY state
"""

app = typer.Typer(help="What was refused and why: list, show, retry, discard.", no_args_is_help=True)


class State(StrEnum):
    """Where a row of the quarantine stands."""

    HELD = "held"
    RETRY = "retry"
    RETRIED = "retried"
    DISCARDED = "discarded"


TOLD: Final = {
    State.HELD: "refused once more and held: `shelfpulse quarantine show ID` says why",
    State.RETRY: "not tried yet: is the stream running?",
    State.RETRIED: "taken in",
    State.DISCARDED: "discarded",
}
"""What became of rows, for people."""


class Row(msgspec.Struct, frozen=True):
    """A refused message, without its payload. ``seq`` None: it was not settled, the gateway still has it."""

    id: int
    received_at: datetime
    tenant: str
    gateway: str
    lane: str
    ep: str
    seq: int | None
    topic: str
    reason: str
    detail: str
    payload_bytes: int
    state: str


@dataclass(frozen=True)
class Filter:
    """Which rows; None leaves a column alone."""

    tenant: str | None = None
    gateway: str | None = None
    reason: str | None = None
    state: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: list[int] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it lets everything through."""
        return self == Filter()


DsnOption = Annotated[str, typer.Option(envvar="SHELFPULSE_DSN", help="Database; the running stack's unless given.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines, a line a row.")]
TenantOption = Annotated[str | None, typer.Option(help="Only this tenant.")]
GatewayOption = Annotated[str | None, typer.Option(help="Only this gateway.")]
ReasonOption = Annotated[Reason | None, typer.Option(help="Only this reason.")]
SinceOption = Annotated[str | None, typer.Option(help="Received since: 2026-05-01T12:00Z, or 30m, 12h, 7d ago.")]
UntilOption = Annotated[str | None, typer.Option(help="Received before; as --since.")]
IdsArgument = Annotated[list[int] | None, typer.Argument(help="Numbers of rows, as list shows them.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every row that is held; without ids and filters.")]


@app.callback()
def quarantine() -> None:
    """What was refused and why: list, show, retry, discard."""


@app.command(name="list")
def list_(  # noqa: PLR0913 - options of a command
    *,
    tenant: TenantOption = None,
    gateway: GatewayOption = None,
    reason: ReasonOption = None,
    state: Annotated[State | None, typer.Option(help="Only in this state.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_MAX, help="Rows of a page.")] = PAGE,
    before: Annotated[int | None, typer.Option(help="The next page: the last id of the one before.")] = None,
    as_json: JsonOption = False,
    dsn: DsnOption = "",
) -> None:
    """Refused messages, newest first."""
    chosen = Filter(tenant, gateway, reason, state, read_time(since), read_time(until))
    with _connect(dsn) as connection:
        rows = read_rows(connection, chosen, limit, before)
    if as_json:
        for row in rows:
            print(msgspec.json.encode(row).decode())  # noqa: T201 - the command's output
        return
    _show(rows)
    if len(rows) == limit:
        Console().print(f"more: --before {rows[-1].id}", highlight=False)


@app.command()
def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="Number of the row.")],
    *,
    as_json: JsonOption = False,
    dsn: DsnOption = "",
) -> None:
    """One refused message with its payload."""
    with _connect(dsn) as connection:
        found = connection.execute(SHOW.encode(), {"id": number}).fetchone()
    if found is None:
        message = f"there is no row {number} in quarantine"
        raise UserError(message, "shelfpulse quarantine list")
    row, payload = Row(*found[:-1]), bytes(found[-1])
    text = _text(payload)
    if as_json:
        content = {"payload_base64": base64.b64encode(payload).decode()} if text is None else {"payload": text}
        print(msgspec.json.encode(msgspec.to_builtins(row) | content).decode())  # noqa: T201 - the command's output
        return
    console = Console()
    for name, value in msgspec.to_builtins(row).items():
        console.print(f"{name:>13}  {value}", highlight=False, markup=False)
    if len(payload) < row.payload_bytes:
        console.print(f"{len(payload)} of {row.payload_bytes} bytes are kept", highlight=False)
    console.print(payload.hex(" ") if text is None else text, highlight=False, markup=False, soft_wrap=True)


@app.command()
def retry(  # noqa: PLR0913 - options of a command
    ids: IdsArgument = None,
    *,
    tenant: TenantOption = None,
    gateway: GatewayOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: AllOption = False,
    wait_s: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the stream; 0 to only ask.")] = 10,
    as_json: JsonOption = False,
    dsn: DsnOption = "",
) -> None:
    """Let the stream try held rows again: a frame with a settled place is stored once, any other is checked anew.

    Exits with 1 when some were refused once more, or the stream has not come to them in time.
    """
    chosen = Filter(tenant, gateway, reason, None, read_time(since), read_time(until), ids)
    with _connect(dsn) as connection:
        marked = _mark(connection, RETRY, chosen, everything=everything)
        outcome = _wait(lambda: _states(connection, marked), wait_s)
    _tell(outcome, as_json=as_json)
    if ids and len(marked) < len(set(ids)):
        message = f"{len(set(ids)) - len(marked)} of them cannot be tried again"
        raise UserError(message, "only rows in state held whose payload is kept whole can")
    if wait_s and set(outcome) - {State.RETRIED}:
        raise typer.Exit(1)


@app.command()
def discard(  # noqa: PLR0913 - options of a command
    ids: IdsArgument = None,
    *,
    tenant: TenantOption = None,
    gateway: GatewayOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
    dsn: DsnOption = "",
) -> None:
    """Give held rows up for good: their payload is deleted, the rows stay as proof of what is missing."""
    chosen = Filter(tenant, gateway, reason, None, read_time(since), read_time(until), ids)
    with _connect(dsn) as connection:
        marked = _mark(connection, DISCARD, chosen, everything=everything)
        outcome = _states(connection, marked)
    _tell(outcome, as_json=as_json)


def read_rows(connection: Connection, chosen: Filter, limit: int, before: int | None) -> list[Row]:
    """A page of rows, newest first; ``before`` is the last id of the page before."""
    values = {**vars(chosen), "limit": limit, "before": before}
    return [Row(*found) for found in connection.execute(LIST.encode(), values)]


def read_time(text: str | None, now: datetime | None = None) -> datetime | None:
    """A point in time (ISO 8601, UTC unless it says otherwise) or how long ago: 30m, 12h, 7d. Raises UserError."""
    if text is None:
        return None
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if text[-1:] in units:
            return (now or datetime.now(UTC)) - timedelta(**{units[text[-1]]: float(text[:-1])})
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        message = f"{text!r} is no time"
        raise UserError(message, "write 2026-05-01T12:00Z, or 30m, 12h, 7d") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _mark(connection: Connection, statement: str, chosen: Filter, *, everything: bool) -> list[int]:
    if chosen.is_empty != everything:
        message = "name rows or a filter, or say --all"
        raise UserError(message, "shelfpulse quarantine list shows what is there")
    return [row[0] for row in connection.execute(statement.encode(), {**vars(chosen), "limit": MARKED_MAX})]


def _states(connection: Connection, ids: list[int]) -> dict[str, int]:
    return dict(connection.execute(STATES.encode(), {"ids": ids}).fetchall())


def _wait(states: Callable[[], dict[str, int]], wait_s: float) -> dict[str, int]:
    wait_until(lambda: State.RETRY not in states(), wait_s)
    return states()


def _tell(outcome: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(outcome).decode())  # noqa: T201 - the command's output
        return
    said = ", ".join(f"{count} {TOLD[State(state)]}" for state, count in outcome.items())
    said = said or "no row is held that fits"
    Console().print(said, highlight=False)


def _show(rows: list[Row]) -> None:
    table = Table()
    for heading in ("id", "received", "gateway", "frame", "reason", "detail", "state"):
        table.add_column(heading, overflow="fold" if heading == "detail" else "ellipsis")
    for row in rows:
        frame = f"{row.lane}/{row.ep}/{row.seq}" if row.seq is not None else row.lane
        at = row.received_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        cells: list[Any] = [str(row.id), at, f"{row.tenant}/{row.gateway}", frame, row.reason, row.detail, row.state]
        table.add_row(*(cell.replace("[", "\\[") for cell in cells))
    Console().print(table)


def _text(payload: bytes) -> str | None:
    """The payload when it is text that a terminal can show."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\n\t" for character in text) else None


def _connect(dsn: str) -> Connection:
    return storage.connect(dsn or find_stack().dsn, application="shelfpulse quarantine")
