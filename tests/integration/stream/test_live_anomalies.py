"""Anomalies in the running stream: they open and close in the database, survive a replay, and learn from the tills."""

import time
from itertools import count
from random import Random
from typing import Any

import psycopg

from contracts import topics
from contracts.frames import TelemetryFrame
from contracts.presence import Presence, State, encode
from contracts.topics import Lane
from tests.integration.stream.running import ADDRESS, Device, Platform, eventually

MINUTE_MS = 60_000
STATE = "SELECT kind, place, end_at IS NOT NULL, count(*) OVER () FROM anomaly WHERE kind = %s"


class Scale:
    """Frames of an hour of a scale that is read every minute, beginning ten hours ago."""

    def __init__(self) -> None:
        self.rng = Random(4)
        self.seqs = count(1)
        self.t0_ms = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS - 10 * 60 * MINUTE_MS

    def hour(self, frozen_g: float | None = None) -> TelemetryFrame:
        values = [self.rng.gauss(3_300.0, 6.0) if frozen_g is None else frozen_g for _ in range(60)]
        frame = TelemetryFrame(
            v=1, ep="aaaa", seq=next(self.seqs), t0=self.t0_ms, ch=["b1.weight_g", "b2.weight_g"],
            i=[0] * 60 + [1] * 60, d=[n * MINUTE_MS for n in range(60)] * 2,
            x=values + [self.rng.gauss(3_300.0, 6.0) for _ in range(60)],
        )  # fmt: skip
        self.t0_ms += 60 * MINUTE_MS
        return frame


def test_a_stuck_scale_opens_and_closes_one_anomaly(platform: Platform, device: Device) -> None:
    platform.start()
    scale = Scale()
    for _ in range(5):
        device.send(Lane.TEL, scale.hour())
    device.send(Lane.TEL, scale.hour(frozen_g=3_301.5))
    eventually(lambda: platform.watermark() == 6, "all is committed")

    def look() -> list[tuple[Any, ...]]:
        """What was gathered is looked at when more comes."""
        seq = next(scale.seqs)
        device.send(Lane.TEL, TelemetryFrame(v=1, ep="aaaa", seq=seq, t0=scale.t0_ms, ch=["b2.weight_g"],
                                             i=[0], d=[0], x=[3_300.0]))  # fmt: skip
        eventually(lambda: platform.watermark() == seq, "it is committed")
        return platform.rows(STATE, "stuck_sensor")

    eventually(look, "the anomaly opens")
    assert platform.rows(STATE, "stuck_sensor") == [("stuck_sensor", "g1/b1.weight_g", False, 1)]
    device.send(Lane.TEL, scale.hour())

    eventually(lambda: look() == [("stuck_sensor", "g1/b1.weight_g", True, 1)], "the anomaly closes")


def test_a_dropout_ends_when_the_gateway_speaks_again_whatever_was_killed_in_between(
    platform: Platform, device: Device
) -> None:
    platform.start()
    scale = Scale()
    device.send(Lane.TEL, scale.hour())
    eventually(lambda: platform.watermark() == 1, "all is committed")
    gone = encode(Presence(v=1, state=State.OFFLINE, since=0))

    def told() -> list[tuple[Any, ...]]:
        return platform.rows(STATE, "dropout")

    device.insist(topics.presence(ADDRESS), lambda: gone, lambda: bool(told()), "its last will is a dropout")
    assert told() == [("dropout", "g1", False, 1)]
    # What the watch learnt has not been saved yet: the next process has never heard of the silence.
    platform.kill()
    assert platform.one("SELECT count(*) FROM detector_state") == 0
    platform.start()
    device.send(Lane.TEL, scale.hour())
    eventually(lambda: platform.watermark() == 2, "it speaks again")
    seqs = count(3)

    def is_over() -> bool:
        """What was gathered is looked at when more comes."""
        seq = next(seqs)
        device.send(Lane.TEL, TelemetryFrame(v=1, ep="aaaa", seq=seq, t0=scale.t0_ms, ch=["b2.weight_g"],
                                             i=[0], d=[0], x=[3_300.0]))  # fmt: skip
        eventually(lambda: platform.watermark() == seq, "it is committed")
        return told() == [("dropout", "g1", True, 1)]

    eventually(is_over, "the dropout ends")


def sell(platform: Platform, first: int, last: int) -> None:
    with psycopg.connect(platform.dsn) as connection:
        for line in range(first, last):
            connection.execute(
                "INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)"
                " VALUES ('acme', 's1', 'cola', 1, now(), 'r', %s)",
                (line,),
            )


def test_sales_are_read_once_and_their_offset_is_committed(platform: Platform) -> None:
    sell(platform, 0, 2)
    platform.start()
    sell(platform, 2, 5)
    offset = "SELECT last_id FROM sales_offset"
    eventually(lambda: platform.rows(offset) == [(5,)], "the offset is committed")
    assert platform.stop() == 0
    sell(platform, 5, 7)
    platform.start()
    eventually(lambda: platform.rows(offset) == [(7,)], "sales that came meanwhile are read")


def looks_at_sales(platform: Platform) -> int:
    """How often the table was read, by the server's account."""
    (row,) = platform.rows(
        "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'pos_sale'"
    )
    return int(row[0])


def test_sales_of_an_open_transaction_hold_back_later_ones(platform: Platform) -> None:
    platform.start()
    sell(platform, 0, 1)
    offset = "SELECT last_id FROM sales_offset"
    eventually(lambda: platform.rows(offset) == [(1,)], "the first sale is read")
    with psycopg.connect(platform.dsn) as slow:
        slow.execute(
            "INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)"
            " VALUES ('acme', 's1', 'cola', 1, now(), 'slow', 0)"
        )
        sell(platform, 1, 2)
        looks = looks_at_sales(platform)
        eventually(lambda: looks_at_sales(platform) >= looks + 3, "the stream looks for sales")
        assert platform.rows(offset) == [(1,)]
    eventually(lambda: platform.rows(offset) == [(3,)], "both are read once the first is there")
