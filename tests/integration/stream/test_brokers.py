"""The same stream on each kind of broker."""

import time

from contracts import topics
from contracts.frames import TelemetryFrame, encode
from contracts.topics import Lane
from tests.integration.stream.running import ADDRESS, Platform, connect_device, eventually


def test_a_frame_becomes_a_row_and_an_ack_on_any_broker(any_platform: Platform) -> None:
    any_platform.start()
    sent = TelemetryFrame(
        v=1, ep="aaaa", seq=1, t0=time.time_ns() // 1_000_000, ch=["b1.weight_g"], i=[0], d=[0], x=[42.5]
    )
    with connect_device(any_platform.broker) as device:
        device.send(Lane.TEL, sent)
        eventually(lambda: device.told(Lane.TEL) == 1, "the ack")
        assert any_platform.rows("SELECT value FROM reading") == [(42.5,)]
        # Nothing comes again of what is committed: it was acknowledged to the broker before the end.
        assert any_platform.stop() == 0
        any_platform.start()
        second = TelemetryFrame(v=1, ep="aaaa", seq=2, t0=sent.t0, ch=["b1.weight_g"], i=[0], d=[1], x=[43.5])
        device.insist(topics.up(ADDRESS, Lane.TEL), lambda: encode(second), lambda: device.told(Lane.TEL) == 2, "ack 2")
        assert any_platform.rows("SELECT value FROM reading ORDER BY time") == [(42.5,), (43.5,)]
        assert any_platform.stop() == 0
