"""Which command is too late, which configuration is worse: decided without a clock or a network."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import CommandKind
from edge_agent.clock import Instant
from edge_agent.remote.commands import UNSYNCED_LIFE_MS, CommandError, decode, is_expired, kind_of
from edge_agent.remote.desired import carry
from edge_agent.remote.store import StoredCommand
from edge_agent.remote.trial import LINK_PATIENCE, Health, Verdict, judge
from edge_agent.slots_file import Slot

NOON_MS = 1_780_000_000_000
EXPIRES_MS = NOON_MS + 60_000


def command(*, synced: bool = True, utc_ms: int = NOON_MS, mono_ms: int = 1_000) -> StoredCommand:
    return StoredCommand("c1", "tare", {}, EXPIRES_MS, Instant(utc_ms, mono_ms, synced), "boot-a")


@pytest.mark.parametrize(
    ("came", "now", "boot", "expired"),
    [
        # The clock can be believed now: it alone decides, whatever it said before.
        (command(), Instant(EXPIRES_MS - 1, 9_000, synced=True), "boot-a", False),
        (command(), Instant(EXPIRES_MS, 9_000, synced=True), "boot-a", True),
        (command(synced=False, utc_ms=5), Instant(EXPIRES_MS - 1, 9_000, synced=True), "boot-b", False),
        # It cannot, but could be when the command came: what passed since then is added.
        (command(), Instant(5, 1_000 + 59_999, synced=False), "boot-a", False),
        (command(), Instant(5, 1_000 + 60_000, synced=False), "boot-a", True),
        # It never could: the command lives for a while.
        (command(synced=False, utc_ms=5), Instant(6, 1_000 + UNSYNCED_LIFE_MS - 1, synced=False), "boot-a", False),
        (command(synced=False, utc_ms=5), Instant(6, 1_000 + UNSYNCED_LIFE_MS, synced=False), "boot-a", True),
        # Another boot, and no clock: nobody knows how old it is.
        (command(), Instant(5, 1_001, synced=False), "boot-b", True),
    ],
)
def test_a_command_expires_by_the_best_clock_there_is(
    came: StoredCommand, now: Instant, boot: str, *, expired: bool
) -> None:
    assert is_expired(came, now, boot) is expired


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_payload_is_a_command_or_an_error(payload: bytes) -> None:
    try:
        decoded = decode(payload, Instant(0, 0, synced=False), "b")
    except CommandError:
        return
    assert decoded.id


def test_a_command_of_an_unknown_kind_has_an_id_to_answer_to() -> None:
    payload = msgspec.json.encode({"id": "c1", "kind": "dance", "expires": 1, "args": {"a": [1]}, "more": 2})
    decoded = decode(payload, Instant(1, 2, synced=True), "b")
    assert (decoded.id, decoded.kind, decoded.args, kind_of(decoded)) == ("c1", "dance", {"a": [1]}, None)
    assert kind_of(decoded._replace(kind="tare")) is CommandKind.TARE


def health(answering: str, silent: str = "", *, heard: bool = True, full: bool = False, error: str = "") -> Health:
    names = frozenset(answering.split())
    return Health(names | frozenset(silent.split()), names, heard, full, (error,) if error else ())


@pytest.mark.parametrize(
    ("before", "now", "elapsed_s", "verdict"),
    [
        (health("s01"), health("s01 s02"), 59.9, Verdict.WATCH),
        (health("s01"), health("s01 s02"), 60.0, Verdict.KEEP),
        # A device that answered is silent, or a new one never answers: worse, but it has the whole window.
        (health("s01"), health("", "s01"), 59.9, Verdict.WATCH),
        (health("s01"), health("", "s01"), 60.0, Verdict.ROLL_BACK),
        (health("s01"), health("s01", "s02"), 60.0, Verdict.ROLL_BACK),
        # One that was silent before may stay so, and one that is not polled any more is no loss.
        (health("s01", "s02"), health("s01", "s02"), 60.0, Verdict.KEEP),
        (health("s01 s02"), health("s01"), 60.0, Verdict.KEEP),
        # Certain at once.
        (health("s01"), health("s01", error="boom"), 0.0, Verdict.ROLL_BACK),
        (health("s01"), health("s01", full=True), 0.0, Verdict.ROLL_BACK),
        (health("s01", full=True), health("s01", full=True), 60.0, Verdict.KEEP),
        # The network breaks without our doing: it has longer.
        (health("s01"), health("s01", heard=False), 60.0, Verdict.WATCH),
        (health("s01"), health("s01", heard=False), 60.0 * LINK_PATIENCE, Verdict.ROLL_BACK),
        (health("s01", heard=False), health("s01", heard=False), 60.0, Verdict.KEEP),
    ],
)
def test_a_configuration_is_kept_unless_the_gateway_is_worse_off(
    before: Health, now: Health, elapsed_s: float, verdict: Verdict
) -> None:
    assert judge(before, now, elapsed_s, 60.0).verdict is verdict


def test_the_reason_names_what_is_silent_and_not_all_of_many() -> None:
    many = " ".join(f"s{k:02}" for k in range(8))
    reason = judge(health("s00"), health("", many), 60.0, 60.0).reason
    assert reason == "no answer within 60 s from s00 (answered before), s01, s02, s03, s04 and 3 more"


def slot(name: str, sku: str, unit_g: float = 100.0) -> Slot:
    return Slot(name, f"{name}.weight_g", sku, unit_g, 1.0, 10)


def test_going_back_a_slot_with_the_same_article_goes_on_and_another_knows_what_it_knew() -> None:
    before = {"a": b"a-before", "b": b"b-before", "c": b"c-before"}
    now = {"a": b"a-now", "b": b"b-now", "d": b"d-now"}
    tried = [slot("a", "cola"), slot("b", "tea"), slot("d", "milk")]
    back = [slot("a", "cola"), slot("b", "cola"), slot("c", "chips")]
    assert carry(now, before, tried, back) == {"a": b"a-now", "b": b"b-before", "c": b"c-before"}
