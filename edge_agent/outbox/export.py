"""The ledger of an outbox as JSON lines, for ``shelfpulse verify --ledger``; read beside the agent that writes it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import structlog

from contracts.errors import UserError
from contracts.topics import Lane
from edge_agent.files import replacing
from edge_agent.outbox import ledger, queries
from edge_agent.outbox.ledger import LedgerHead, Told
from edge_agent.outbox.opening import meta, those_aside

log = structlog.get_logger()


def write(file: Path, tenant: str, gateway: str, into: Path) -> None:
    """Write the ledger of the outbox ``file`` to ``into``. Raises UserError."""
    try:
        with replacing(into) as out:
            out.writelines(line + b"\n" for line in lines(file, tenant, gateway))
    except OSError as error:
        msg = f"cannot write {into}: {error.strerror}"
        raise UserError(msg) from error


def lines(file: Path, tenant: str, gateway: str) -> Iterator[bytes]:
    """For each incarnation, oldest first, its head and its entries. Raises UserError.

    A file that was set aside because it is corrupt is left out as far as it cannot be read, with a log line.
    """
    if not file.exists():
        msg = f"no outbox at {file}"
        raise UserError(msg, "the agent makes it when it first runs")
    for aside in those_aside(file):
        try:
            yield from list(_incarnation(aside, tenant, gateway))
        except sqlite3.Error as error:
            log.warning("ledger_unreadable", file=str(aside), error=str(error))
    try:
        yield from _incarnation(file, tenant, gateway)
    except sqlite3.Error as error:
        msg = f"cannot read the outbox {file}: {error}"
        raise UserError(msg) from error


def _incarnation(file: Path, tenant: str, gateway: str) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as db:
        db.execute("BEGIN")  # one state of the file, though the agent goes on writing
        seal = ledger.decode_seal(meta(db, "seal") or "{}")
        newest = db.execute(queries.LAST_ENTRY).fetchone()
        last = None if newest is None else ledger.decode_entry(newest[0])
        yield ledger.encode(
            LedgerHead(
                tenant=tenant,
                gateway=gateway,
                ep=meta(db, "ep") or "",
                seal=seal,
                last=seal.n if last is None else last.n,
                hash=seal.hash if last is None else last.hash,
                lanes={
                    Lane(lane): Told(seq, committed, readings - lost, digest)
                    for lane, committed, seq, _, readings, lost, digest in db.execute(queries.LANES)
                    if seq
                },
            )
        )
        for (line,) in db.execute(queries.LINES):
            yield line
