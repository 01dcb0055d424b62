"""The connection breaks during COMMIT: whether or not it took place, the readings are there once."""

import time

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from contracts.frames import TelemetryFrame
from contracts.topics import Lane
from tests.integration.stream.commit_cutter import Cut, run_cutter
from tests.integration.stream.running import Device, Platform, eventually


def telemetry(seq: int) -> TelemetryFrame:
    t0_ms = time.time_ns() // 1_000_000
    return TelemetryFrame(v=1, ep="aaaa", seq=seq, t0=t0_ms, ch=["b1.weight_g"], i=[0], d=[0], x=[float(seq)])


@pytest.mark.parametrize("cut", [Cut.REQUEST, Cut.ANSWER], ids=lambda cut: cut.name.lower())
def test_an_epoch_whose_commit_has_no_answer_is_stored_once(platform: Platform, device: Device, cut: Cut) -> None:
    direct = platform.dsn
    where = conninfo_to_dict(direct)
    with run_cutter((str(where["host"]), int(str(where["port"])))) as cutter:
        platform.dsn = make_conninfo(direct, port=cutter.port)
        platform.start()
        device.send(Lane.TEL, telemetry(1))
        eventually(lambda: device.told(Lane.TEL) == 1, "frame 1")
        cutter.arm(cut)
        device.send(Lane.TEL, telemetry(2))
        assert cutter.fired.wait(30), "the COMMIT passed the proxy"
        eventually(lambda: device.told(Lane.TEL) == 2, "frame 2 is acknowledged")
        device.send(Lane.TEL, telemetry(3))
        eventually(lambda: device.told(Lane.TEL) == 3, "the lane goes on")
        assert platform.metric("shelfpulse_commit_retries_total") >= 1
        assert platform.stop() == 0
    with psycopg.connect(direct) as connection:
        assert connection.execute("SELECT value FROM reading ORDER BY value").fetchall() == [(1.0,), (2.0,), (3.0,)]
        assert connection.execute("SELECT sum(readings), max(to_seq) FROM ingest_batch").fetchall() == [(3, 3)]
