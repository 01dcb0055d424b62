"""A recording is published with the ack protocol and waits until it is committed."""

import json
import time
from pathlib import Path
from random import Random

import pytest

from contracts.errors import UserError
from contracts.topics import GatewayAddress, Lane, up
from simulators.frame_templates import FrameTemplate
from simulators.links import parse_broker
from simulators.replay import ReplayReport, load, replay
from simulators.replay_input import ReplayInput, read
from tests.integration.simulators.acking_platform import acking_platform, wait_for
from tests.services.brokers import BrokerHandle

ADDRESS = GatewayAddress("acme", "shop", "gw1")


def recording(frames: int, *, ep: str = "test1", step_ms: int = 100) -> list[bytes]:
    template = FrameTemplate(Lane.TEL, ep, 4, 10, Random(1))
    return [
        b'{"at":%d,"topic":"%s","payload":%s}'
        % (1_000 + seq * step_ms, up(ADDRESS, Lane.TEL).encode(), template.payload(seq, 1_000 + seq * step_ms))
        for seq in range(1, frames + 1)
    ]


def publish(recorded: ReplayInput, broker: BrokerHandle, *, speed: float = 0, deadline_s: float = 30) -> ReplayReport:
    return replay(
        recorded, parse_broker(broker.device_url), speed=speed, client_id="replay-test", deadline_s=deadline_s
    )


def test_all_frames_of_a_file_are_committed_once(broker: BrokerHandle, tmp_path: Path) -> None:
    file = tmp_path / "frames.jsonl"
    raw = json.dumps({"at": 1, "topic": "sp/v1/raw/acme/shop/gw1", "payload": {"values": {"a.b": 1}}}).encode()
    file.write_bytes(b"\n".join([*recording(6_000), raw]))
    with acking_platform(broker.url) as platform:
        report = publish(load(file), broker)
        assert report.complete
        assert (report.frames, report.committed, report.messages) == (6_000, 6_000, 1)
        assert platform.count() == 6_000
        wait_for(lambda: [topic for topic, _ in platform.plain] == ["sp/v1/raw/acme/shop/gw1"])


def test_a_second_replay_finds_everything_committed(broker: BrokerHandle) -> None:
    with acking_platform(broker.url) as platform:
        publish(read(recording(500)), broker)
        report = publish(read(recording(500)), broker)
        assert report.complete
        assert platform.count() == 500


def test_an_incarnation_waits_for_the_one_before_it(broker: BrokerHandle) -> None:
    with acking_platform(broker.url) as platform:
        report = publish(read([*recording(300), *recording(200, ep="test2")]), broker)
        assert report.complete
        assert {ep: len(frames) for (_, _, ep), frames in platform.frames.items()} == {"test1": 300, "test2": 200}
        assert platform.early == 0


def test_incarnations_that_the_platform_has_closed_are_counted_and_not_sent(broker: BrokerHandle) -> None:
    both = [*recording(300), *recording(200, ep="test2")]
    with acking_platform(broker.url) as platform:
        publish(read(both), broker)
        report = publish(read(both), broker)
        assert (report.complete, report.closed) == (True, 300)
        assert (platform.count(), platform.refused) == (500, 0)


def test_speed_keeps_the_pace_of_the_recording(broker: BrokerHandle) -> None:
    with acking_platform(broker.url):
        started_s = time.monotonic()
        report = publish(read(recording(21, step_ms=1_000)), broker, speed=10)
        assert report.complete
        assert 2.0 <= time.monotonic() - started_s < 10


def test_what_nobody_commits_is_named_at_the_deadline(broker: BrokerHandle) -> None:
    report = publish(read(recording(10)), broker, deadline_s=1.5)
    assert not report.complete
    assert report.waiting == [up(ADDRESS, Lane.TEL)]


def test_a_bad_file_is_told_with_its_name_and_line(tmp_path: Path) -> None:
    file = tmp_path / "frames.jsonl"
    file.write_bytes(b"\n".join([*recording(1), b"{}"]))
    with pytest.raises(UserError, match=r"frames\.jsonl: line 2: "):
        load(file)
    with pytest.raises(UserError, match="cannot read"):
        load(tmp_path / "none.jsonl")
