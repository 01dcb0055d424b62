"""What reason codes ask for, how the broker is greeted, and what waits to be stored."""

import pytest
from structlog.testing import capture_logs

from contracts.topics import Down, GatewayAddress
from edge_agent.uplink import reasons
from edge_agent.uplink.approach import FIVE_AGAIN_S, Approach
from edge_agent.uplink.downlink import RETRY_S, WAITING_MAX, Downlink, NotStoredError
from edge_agent.uplink.reasons import Reaction
from edge_agent.uplink.window import slow_delay_s

HERE = GatewayAddress("demo", "store-01", "gw-01")


@pytest.mark.parametrize(
    ("code", "reaction"),
    [
        (0x00, Reaction.RETRY),
        (0x80, Reaction.RETRY),
        (0x84, Reaction.OTHER_VERSION),
        (0x85, Reaction.OTHER_CLIENT_ID),
        (0x86, Reaction.RETRY_SLOWLY),
        (0x87, Reaction.RETRY_SLOWLY),
        (0x88, Reaction.RETRY),
        (0x89, Reaction.RETRY),
        (0x8B, Reaction.RETRY),
        (0x8E, Reaction.RETRY_SLOWLY),
        (0x9C, Reaction.RETRY_SLOWLY),
        (0x9D, Reaction.RETRY_SLOWLY),
        (0x9F, Reaction.RETRY),
        (0xEE, Reaction.RETRY),
    ],
)
def test_each_end_of_a_connection_has_its_reaction(code: int, reaction: Reaction) -> None:
    assert reasons.reaction_to(code) is reaction


@pytest.mark.parametrize(
    ("code", "is_taken", "is_alarming", "hold_max_s"),
    [
        (0x00, True, False, 30.0),
        (0x10, False, False, 10.0),
        (0x80, False, False, 30.0),
        (0x87, False, True, 60.0),
        (0x90, False, True, 60.0),
        (0x97, False, False, 60.0),
        (0x99, False, True, 30.0),
    ],
)
def test_each_answer_to_a_publish_has_its_hold(code: int, is_taken: bool, is_alarming: bool, hold_max_s: float) -> None:  # noqa: FBT001 - columns of the table
    told = (reasons.is_taken(code), reasons.is_alarming(code), reasons.hold_max_s(code))
    assert told == (is_taken, is_alarming, hold_max_s)


@pytest.mark.parametrize(("attempt", "least_s", "most_s"), [(0, 15.0, 30.0), (1, 30.0, 60.0), (9, 60.0, 120.0)])
def test_slow_retries_wait_half_at_least(attempt: int, least_s: float, most_s: float) -> None:
    assert (slow_delay_s(attempt, 0.0), slow_delay_s(attempt, 1.0)) == (least_s, most_s)


def test_a_broker_without_mqtt_5_is_asked_again_after_an_hour() -> None:
    approach = Approach()
    approach.refused(Reaction.OTHER_VERSION, 0.0)
    told = []
    for now_s in (0.0, FIVE_AGAIN_S - 1, FIVE_AGAIN_S):
        approach.begin(now_s)
        told.append(approach.version5)
    assert told == [False, False, True]


def test_a_hang_up_changes_the_version_until_5_has_worked() -> None:
    approach = Approach()
    told = []
    for now_s in (0.0, 1.0):
        approach.hung_up(now_s)
        told.append(approach.version5)
    approach.accepted()
    approach.hung_up(2.0)
    assert [*told, approach.version5] == [False, True, True]


def test_another_client_id_is_still_the_gateways_own() -> None:
    approach = Approach()
    assert approach.client_id(HERE) == "demo.gw-01"
    approach.refused(Reaction.OTHER_CLIENT_ID, 0.0)
    assert approach.client_id(HERE) == "demo/gw-01"


class Disk:
    def __init__(self) -> None:
        self.is_full = False
        self.stored: list[bytes] = []
        self.acknowledged: list[int] = []
        self.downlink = Downlink(self._store, self.acknowledged.append)

    def _store(self, _kind: Down, payload: bytes) -> None:
        if self.is_full:
            raise NotStoredError
        if payload == b"poison":
            msg = "a defect"
            raise RuntimeError(msg)
        self.stored.append(payload)


def test_what_is_stored_is_acknowledged_and_nothing_before() -> None:
    disk = Disk()
    disk.is_full = True
    disk.downlink.take(Down.CMD, b"a", 1, 0.0)
    disk.downlink.take(Down.CMD, b"b", 2, 0.1)
    assert (disk.acknowledged, disk.downlink.retry_s) == ([], RETRY_S)
    disk.is_full = False
    disk.downlink.store(RETRY_S)
    assert (disk.stored, disk.acknowledged, disk.downlink.retry_s) == ([b"a", b"b"], [1, 2], None)


def test_a_defect_of_the_consumer_is_logged_and_passed_over() -> None:
    disk = Disk()
    with capture_logs() as logs:
        disk.downlink.take(Down.CMD, b"poison", 1, 0.0)
    disk.downlink.take(Down.CMD, b"a", 0, 0.0)
    assert (disk.stored, disk.acknowledged) == ([b"a"], [1])
    assert [entry["event"] for entry in logs] == ["downlink_failed"]


def test_what_waits_is_bounded_and_the_rest_is_not_acknowledged() -> None:
    disk = Disk()
    disk.is_full = True
    for mid in range(1, WAITING_MAX + 10):
        disk.downlink.take(Down.CMD, b"a", mid, 0.0)
    disk.is_full = False
    disk.downlink.store(RETRY_S)
    assert disk.acknowledged == list(range(1, WAITING_MAX + 1))
