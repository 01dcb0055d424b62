"""One epoch, one transaction: the only place that writes telemetry to PostgreSQL."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import NoReturn

import psycopg
import structlog

from stream import queries
from stream.connecting import connect
from stream.epoch import COPY_HEADER, COPY_TRAILER, Epoch, Move, Part, build, dirty_ranges, pack
from stream.facts import Columns, join_columns
from stream.fence import ALL, Fence
from stream.late_rows import write_late
from stream.plain_rows import Newest, are_new, without_known
from stream.rows import FenceLostError, copy_rows, write_facts

log = structlog.get_logger()


class RefusedError(Exception):
    """The database refuses the data of this transaction (SQLSTATE classes 22, 23 and 54)."""


class UnavailableError(Exception):
    """The database cannot be reached, is full, or is busy with itself: the same transaction may succeed later."""


Prepare = Callable[[datetime, datetime], None]
"""Makes sure that rows of this range can be stored (partitions). Raises psycopg.Error."""


class _Ahead:
    """A transaction that has begun before its epoch is complete; its COPY is open until ``finish``."""

    def __init__(self, cursor: psycopg.Cursor, transaction_id: str) -> None:
        self.cursor = cursor
        self.transaction_id = transaction_id
        self.sent: set[int] = set()
        self._context = cursor.copy(queries.READING_COPY)
        self._copy = self._context.__enter__()
        self._copy.write(COPY_HEADER)

    def write(self, columns: Columns) -> None:
        """Send readings. Raises psycopg.Error."""
        self._copy.write(pack(columns))

    def finish(self) -> None:
        """End the COPY. Raises psycopg.Error."""
        self._copy.write(COPY_TRAILER)
        self._context.__exit__(None, None, None)


class Writer:
    """A connection and the transaction of an epoch.

    ``fence``: what this process owns. ``prepare`` is called with each range of readings before they are written;
    ``check`` with each new connection, and raises FenceLostError when the database is not the one we began from.
    """

    def __init__(
        self,
        dsn: str,
        fence: Fence,
        prepare: Prepare,
        check: Callable[[psycopg.Connection], None] = lambda _: None,
    ) -> None:
        self._dsn = dsn
        self._fence = fence
        self._prepare = prepare
        self._check = check
        self._connection: psycopg.Connection | None = None
        self._doubtful: tuple[str, Epoch] | None = None
        self._ahead: _Ahead | None = None
        self._alone = False
        self._newest = Newest(alone=fence.partition == ALL.name)

    def send(self, parts: list[Part]) -> None:
        """Write the readings of parts ahead of the rest of their epoch, so that the database works while we decode.

        Never fails: whatever goes wrong, ``write`` does it all again and says so.
        """
        if self._alone or self._doubtful is not None:
            return
        if are_new(parts, self._newest):
            self._send(parts)
            return
        for part in parts:
            if are_new([part], self._newest):
                self._send([part])
            else:
                # What comes again in this epoch must not go ahead of it.
                self._newest.note(part.columns)

    def _send(self, parts: list[Part]) -> None:
        columns = join_columns([part.columns for part in parts])
        self._newest.note(columns)
        if self._alone or not len(columns):
            return
        try:
            if self._ahead is None:
                cursor = self._connect().cursor(binary=True)
                self._ahead = _Ahead(cursor, self._hold_fence(cursor))
            for lo, hi in dirty_ranges(columns.time_us):
                self._prepare(lo, hi)
            self._ahead.write(columns)
            self._ahead.sent.update(id(part) for part in parts)
        except (FenceLostError, psycopg.Error) as error:
            log.info("epoch_restarted", reason=str(error).strip())
            self._forget_ahead()

    def write(self, parts: list[Part]) -> Epoch:
        """Commit everything in ``parts`` and return what was written.

        Raises FenceLostError and RefusedError with nothing written. After UnavailableError call again with the same
        parts: when the answer to a COMMIT was lost, that call first finds out whether it took place. Raises
        psycopg.Error for what is wrong with the schema itself.
        """
        if self._doubtful is not None:
            transaction_id, epoch = self._doubtful
            if self._was_committed(transaction_id, epoch):
                self._doubtful = None
                return epoch
            self._doubtful = None
        try:
            transaction_id, epoch = self._fill_ahead(parts) or self._fill(parts)
        except (FenceLostError, psycopg.Error) as error:
            self._roll_back()
            _translate(error)
        finally:
            self._alone = False
        filled = self._connection
        assert filled is not None
        try:
            filled.commit()
        except psycopg.Error as error:
            self.close()
            self._doubtful = (transaction_id, epoch)
            raise UnavailableError(str(error).strip()) from error
        return epoch

    def check_fence(self) -> None:
        """Find out whether the buckets are still ours, in an epoch that commits nothing.

        Raises FenceLostError, or UnavailableError when the database cannot say.
        """
        try:
            self._hold_fence(self._connect().cursor())
        except psycopg.Error as error:
            _translate(error)
        finally:
            self._roll_back()

    def _fill_ahead(self, parts: list[Part]) -> tuple[str, Epoch] | None:
        """Complete the transaction in which readings were sent ahead; None when there is none, or it broke."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        try:
            ahead.finish()
            cursor = ahead.cursor
            waiting = [part for part in parts if id(part) not in ahead.sent]
            kept = without_known(cursor, waiting, self._newest)
            rest = iter(kept)
            epoch = build([part if id(part) in ahead.sent else next(rest) for part in parts])
            self._write_all(cursor, epoch, join_columns([part.columns for part in kept]))
        except psycopg.Error as error:
            # It may only have met a partition that is newer than its COPY: from the beginning, before it is an error.
            log.info("epoch_restarted", reason=str(error).strip())
            self._roll_back()
            return None
        return ahead.transaction_id, epoch

    def _fill(self, parts: list[Part]) -> tuple[str, Epoch]:
        with self._connect().cursor(binary=True) as cursor:
            transaction_id = self._hold_fence(cursor)
            epoch = build(without_known(cursor, parts, self._newest))
            self._write_all(cursor, epoch, epoch.columns)
        return transaction_id, epoch

    def _write_all(self, cursor: psycopg.Cursor, epoch: Epoch, readings: Columns) -> None:
        if len(readings):
            self._newest.note(readings)
            for lo, hi in dirty_ranges(readings.time_us):
                self._prepare(lo, hi)
            copy_rows(cursor, queries.READING_COPY, readings)
        write_facts(cursor, epoch)
        write_late(cursor, epoch.frames)

    def _forget_ahead(self) -> None:
        """Give up what was sent ahead; the rest of this epoch waits for ``write``."""
        self._ahead = None
        self._alone = True
        self.close()

    def close(self) -> None:
        """Give the connection back; the next ``write`` opens another."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            connection = connect(self._dsn, "shelfpulse-stream", prepare_threshold=1)
            try:
                self._begin(connection)
            except (FenceLostError, psycopg.Error):
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _begin(self, connection: psycopg.Connection) -> None:
        # An ack is a promise, whatever the server's default is.
        connection.execute("SET synchronous_commit = on")
        connection.execute("SET timezone = 'UTC'")
        connection.execute(queries.KEEPALIVE)
        for table in (queries.NEWEST_TABLE, queries.PLAIN_RANGE_TABLE, queries.PLAIN_ASKED_TABLE):
            connection.execute(table)
        self._check(connection)
        connection.commit()

    def _hold_fence(self, cursor: psycopg.Cursor) -> str:
        """Check that the buckets are still ours, and keep them so until the commit; returns the transaction's id."""
        row = cursor.execute(queries.FENCE_CHECK, {"partition": self._fence.partition}).fetchone()
        if row is None or row[0] != self._fence.generation:
            msg = f"another process took {self._fence.partition}"
            raise FenceLostError(msg)
        return str(row[1])

    def _roll_back(self) -> None:
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except psycopg.Error:
            self.close()

    def _was_committed(self, transaction_id: str, epoch: Epoch) -> bool:
        """Whether a COMMIT whose answer was lost took place. Raises UnavailableError while that cannot be known.

        Once the transaction is over the watermarks tell, since they moved with the readings or not at all; a restored
        or promoted server may know the id as that of another transaction. An epoch that moved none has only the id.
        """
        try:
            connection = self._connect()
            row = connection.execute(queries.TRANSACTION_STATUS, {"id": transaction_id}).fetchone()
            reached = all(_is_reached(connection, move) for move in epoch.moves)
            self._roll_back()
        except psycopg.Error as error:
            self._roll_back()
            raise UnavailableError(str(error).strip()) from error
        status = None if row is None else row[0]
        if status == "in progress":
            msg = f"transaction {transaction_id} is still in progress"
            raise UnavailableError(msg)
        return reached if epoch.moves else bool(status == "committed")


def _is_reached(connection: psycopg.Connection, move: Move) -> bool:
    place = {"tenant": move.tenant, "gateway": move.gateway, "lane": move.lane, "ep": move.ep}
    row = connection.execute(queries.WATERMARK, place).fetchone()
    return row is not None and row[0] >= move.to_seq


def _translate(error: Exception) -> NoReturn:
    """Say what an error means for the epoch."""
    if isinstance(error, FenceLostError):
        raise error
    assert isinstance(error, psycopg.Error)
    state = error.sqlstate or ""
    text = str(error).strip()
    if state[:2] in {"22", "23", "54"} or (not state and isinstance(error, psycopg.DataError)):
        raise RefusedError(text) from error
    # 54 what is too large for the server, like a key of an index.
    # 08 connection, 40 deadlock, 53 out of disk or memory, 55 locked, 57 shut down, 58 the server's disk.
    if state[:2] in {"08", "40", "53", "55", "57", "58"} or (
        not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    ):
        raise UnavailableError(text) from error
    raise error
