"""Connections of the stream: what is gone without a word is noticed, and what stays away ends the process."""

import os
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest

from stream import storage
from stream.connecting import connect
from stream.control import Control
from stream.control_data import SiteSku
from stream.endings import DatabaseAwayError, StoppedError
from stream.epoch import Part
from stream.facts import ChannelSet, Columns, Settled
from stream.fence import ALL, Standing, spans, standing, take
from stream.rows import FenceLostError
from stream.storage import Tier
from stream.writer import UnavailableError, Writer
from tests.integration.stream.running import eventually

NOBODY = "postgresql://nobody@127.0.0.1:1/none"
TERMINATE = """
SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
WHERE application_name LIKE 'shelfpulse-stream%' AND datname = current_database()
"""
WANTED = [ChannelSet("acme", "g1", ("b1.weight_g",))]


def patience_s(connection: psycopg.Connection) -> float:
    """Until the system gives up on a peer that says nothing."""
    with socket.socket(fileno=os.dup(connection.fileno())) as peer:
        idle_s, interval_s, count = (
            peer.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        unanswered_s = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert unanswered_s > 0
    return max(idle_s + interval_s * count, unanswered_s)


def test_a_database_that_is_gone_without_a_word_is_noticed(registered: str) -> None:
    with connect(registered, "test") as connection:
        assert patience_s(connection) <= 20
    writer = Writer(registered, take(registered, ALL), lambda _lo, _hi: None)
    assert patience_s(writer._connect()) <= 20
    writer.close()


def test_a_database_that_went_back_in_time_is_not_written_to_with_numbers_of_later(registered: str) -> None:
    """Without a frame no watermark would tell: the number of a series that is forgotten goes to another one."""
    control = Control(registered, 60.0, threading.Event())
    control.start()
    writer = Writer(registered, take(registered, ALL), lambda _lo, _hi: None, control.check)
    (ids,) = control.series(WANTED)
    assert isinstance(ids, np.ndarray)
    writer.check_fence()
    with psycopg.connect(registered, autocommit=True) as connection:
        connection.execute("UPDATE series SET channel = 'other.weight_g' WHERE series_id = %s", (int(ids[0]),))
        connection.execute(TERMINATE)
    with suppress(UnavailableError):
        writer.check_fence()
    with pytest.raises(FenceLostError, match="went back to an earlier time"):
        writer.check_fence()
    with pytest.raises(FenceLostError, match="went back to an earlier time"):
        control.series([ChannelSet("acme", "g1", ("b2.weight_g",))])


def test_control_data_is_read_again_although_the_notice_of_it_was_lost(registered: str) -> None:
    stopping = threading.Event()
    control = Control(registered, 60.0, stopping)
    control.start()
    with psycopg.connect(registered, autocommit=True) as connection:
        connection.execute("ALTER TABLE gateway DISABLE TRIGGER USER")
        connection.execute("INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES ('acme', 'new', 's1')")
        connection.execute(TERMINATE)
        eventually(lambda: control.gateway("acme", "new") is not None, "it is known")
        # What this release cannot read costs nothing but the refresh.
        connection.execute("ALTER TABLE stock_policy DROP CONSTRAINT stock_policy_mode_check")
        connection.execute(
            """INSERT INTO stock_policy (tenant_id, site_id, sku, reorder_point, target, mode)
               VALUES ('acme', 's1', 'cola', 1, 2, 'of-another-release')"""
        )
        connection.execute("UPDATE stock_policy SET mode = 'auto'")
        what = SiteSku("acme", "s1", "cola")
        eventually(lambda: what in control.snapshot.policies, "it is read")
    stopping.set()


def test_a_process_that_was_stopped_in_the_middle_of_an_epoch_keeps_nobody_out(registered: str) -> None:
    now_us = int(datetime.now(UTC).timestamp()) * 1_000_000
    columns = Columns(np.array([now_us]), np.array([1], np.int32), np.array([1.5]), np.array([0], np.int16))
    with psycopg.connect(registered, autocommit=True) as connection:
        storage.ensure_partitions(connection, Tier.PLAIN, datetime.now(UTC), datetime.now(UTC))
    part = Part(columns, [Settled(None, lo=0, hi=1, tenant="acme", gateway="g1", site="s1")])
    stopped = Writer(registered, take(registered, ALL), lambda _lo, _hi: None)
    # Its readings are sent ahead, and nobody ends their transaction.
    stopped.send([part])
    assert stopped._ahead is not None
    claim = take(registered, spans(2)[0], holder_s=0.2)
    assert standing(registered, claim) is Standing.HELD
    with pytest.raises(FenceLostError):
        stopped.write([part])
    with psycopg.connect(registered) as connection:
        assert connection.execute("SELECT count(*) FROM reading").fetchall() == [(0,)]


def test_new_channels_wait_for_a_database_that_is_away_no_longer_than_epochs_do() -> None:
    with pytest.raises(DatabaseAwayError, match="away for 0 s"):
        Control(NOBODY, 0.0, threading.Event()).series(WANTED)


def test_a_stop_ends_the_wait_of_new_channels() -> None:
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(StoppedError):
        Control(NOBODY, 60.0, stopping).series(WANTED)
