"""What gateways of this machine have written in total, from their outbox files: the other side of every account."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from contracts.errors import UserError
from contracts.topics import Lane
from deploy.proofs import Account
from edge_agent.outbox import queries

_READING_LANES = (Lane.TEL, Lane.BULK)


class Outbox(NamedTuple):
    """The file of one gateway."""

    tenant: str
    gateway: str
    file: Path


class Written(NamedTuple):
    """All lanes of all incarnations, and how many readings must be committed in the end: not those declared lost."""

    accounts: list[Account]
    readings: int


def written(outboxes: Iterable[Outbox]) -> Written:
    """What outbox files say, and those that were set aside beside them; a file that is not there has written nothing.

    Raises UserError for a file that cannot be read.
    """
    accounts: list[Account] = []
    readings = 0
    for outbox in outboxes:
        for file in (outbox.file, *_set_aside(outbox.file)):
            if file.exists():
                part = _read(outbox, file)
                accounts.extend(part.accounts)
                readings += part.readings
    return Written(accounts, readings)


def _set_aside(file: Path) -> list[Path]:
    """Earlier incarnations: ``outbox.db.cloned-1767225600123`` and the like, without their SQLite side files."""
    return [path for path in sorted(file.parent.glob(f"{file.name}.*-*")) if path.name.rpartition("-")[2].isdigit()]


def _read(outbox: Outbox, file: Path) -> Written:
    accounts: list[Account] = []
    arriving = 0
    try:
        # Not immutable: the gateway may be writing.
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as db:
            found = db.execute(queries.GET_META, {"key": "ep"}).fetchone()
            for lane, committed, last, _frames, readings, lost, digest in db.execute(queries.LANES) if found else ():
                if last:
                    accounts.append(
                        Account(outbox.tenant, outbox.gateway, lane, found[0], last, digest, readings - lost, committed)
                    )
                if lane in _READING_LANES:
                    arriving += readings - lost
    except sqlite3.Error as error:
        message = f"cannot read the outbox {file}: {error}"
        raise UserError(message) from error
    return Written(accounts, arriving)
