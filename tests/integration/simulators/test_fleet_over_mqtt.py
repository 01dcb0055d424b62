"""The fleet against a real broker and a platform that keeps what it acknowledges."""

import threading
import time

import pytest

from contracts import presence
from contracts.errors import UserError
from contracts.topics import Lane
from simulators.fleet import Fleet, FleetReport, addresses, clock_offset_ms
from simulators.fleet_group import FleetOptions
from simulators.links import parse_broker
from simulators.raw_load import run_raw
from tests.integration.simulators.acking_platform import acking_platform, wait_for
from tests.services.brokers import BrokerHandle


def options(**changes: object) -> FleetOptions:
    given = {
        "tenant": "acme", "gateways": 6, "devices": 4, "rate": 0.0, "readings_per_frame": 50, "seconds": None,
        "readings": 60_000, "lanes": (Lane.TEL,), "connections": 2, "seed": 1, "ep": "ftest1", "deadline_s": 60.0,
        "stall_s": (1.0, 2.0),
    } | changes  # fmt: skip
    return FleetOptions(**given)  # type: ignore[arg-type]


def start(given: FleetOptions, url: str) -> Fleet:
    return Fleet(given, parse_broker(url), start_s=time.monotonic(), clock_ms=clock_offset_ms())


def run(given: FleetOptions, url: str) -> tuple[FleetReport, Fleet]:
    fleet = start(given, url)
    return fleet.run(lambda _written, _committed: None), fleet


def test_all_that_was_sent_is_committed_once_and_the_digests_agree(any_broker: BrokerHandle) -> None:
    with acking_platform(any_broker.url) as platform:
        report, fleet = run(options(lanes=(Lane.TEL, Lane.EVT)), any_broker.device_url)
        assert report.complete
        assert report.frames == report.frames_acked == platform.count() == 1200
        assert report.digest == {"tel": f"{platform.digest(Lane.TEL):x}", "evt": f"{platform.digest(Lane.EVT):x}"}
        assert sum(account.seq for account in fleet.accounts()) == report.frames
        assert report.ack_p50_ms is not None


def test_the_last_presence_gives_the_account_of_each_lane(broker: BrokerHandle) -> None:
    with acking_platform(broker.url) as platform:
        _, fleet = run(options(readings=6_000), broker.device_url)
        by_gateway = {account.gateway: account for account in fleet.accounts()}
        wait_for(lambda: sum(b'"offline"' in payload for _, payload in platform.plain) == len(by_gateway))
        for topic, payload in platform.plain[-len(by_gateway) :]:
            told = presence.decode(payload)
            account = by_gateway[topic.rpartition("/")[2]]
            assert told.state is presence.State.OFFLINE
            assert told.sent["tel"] == presence.Sent(account.ep, account.seq, account.digest)


def test_a_broker_that_is_killed_and_wiped_costs_nothing(broker: BrokerHandle) -> None:
    with acking_platform(broker.url) as platform:
        fleet = start(options(readings=400_000, rate=100_000.0), broker.device_url)
        reports: list[FleetReport] = []
        thread = threading.Thread(target=lambda: reports.append(fleet.run(lambda _written, _committed: None)))
        thread.start()
        wait_for(lambda: platform.count() > 1_000)
        broker.kill()
        broker.wipe()
        broker.start()
        thread.join(60)
        (report,) = reports
        assert report.complete
        assert report.connections == 4
        assert report.frames_acked == platform.count() == 8_000
        assert report.digest == {"tel": f"{platform.digest(Lane.TEL):x}"}


def test_a_platform_that_was_deaf_gets_everything_after_the_stall(broker: BrokerHandle) -> None:
    with acking_platform(broker.url) as platform:
        platform.deaf = True
        fleet = start(options(gateways=2, readings=20_000), broker.device_url)
        reports: list[FleetReport] = []
        thread = threading.Thread(target=lambda: reports.append(fleet.run(lambda _written, _committed: None)))
        thread.start()
        wait_for(lambda: platform.unheard >= 400)
        platform.deaf = False
        thread.join(60)
        (report,) = reports
        assert report.complete
        assert report.frames_resent >= 400
        assert platform.count() == 400


def test_without_a_platform_the_deadline_ends_the_run(broker: BrokerHandle) -> None:
    report, _ = run(options(readings=1_000, deadline_s=2.0), broker.device_url)
    assert not report.complete
    assert report.frames_acked == 0


def test_a_rate_is_kept(broker: BrokerHandle) -> None:
    with acking_platform(broker.url):
        report, _ = run(options(readings=None, seconds=3.0, rate=5_000.0), broker.device_url)
    assert report.complete
    assert report.readings == pytest.approx(15_000, rel=0.02)


def test_plain_devices_publish_a_reading_a_message(broker: BrokerHandle) -> None:
    with acking_platform(broker.url) as platform:
        # The platform subscribes first: raw has no second chance behind the broker.
        run(options(readings=300), broker.device_url)
        given = options(readings_per_frame=1, readings=2_000)
        report = run_raw(
            given,
            addresses(given),
            parse_broker(broker.device_url),
            start_s=time.monotonic(),
            clock_ms=clock_offset_ms(),
        )
        assert report.complete
        assert report.published == 2_000
        wait_for(lambda: sum(topic.startswith("sp/v1/raw/") for topic, _ in platform.plain) == 2_000)
        readings = [entry for entry in platform.plain if entry[0].startswith("sp/v1/raw/")]
        assert len(set(readings)) == 2_000


def test_a_wrong_password_is_told_in_one_line(broker: BrokerHandle) -> None:
    device = parse_broker(broker.device_url)
    with pytest.raises(UserError, match="refuses the connection"):
        run(options(), f"mqtt://device:wrong@{device.host}:{device.port}")
