"""The remote file: what is asked once, and what is answered once, over crashes, copies and damage."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from contracts.commands import DesiredConfig, config_sha256
from contracts.frames import Answer, AnswerFrame, Gap, GapReason
from contracts.frames import decode as decode_frame
from contracts.topics import Lane
from edge_agent.clock import Instant, SystemClock, Voucher
from edge_agent.outbox.file import Entry, Outbox
from edge_agent.remote import desired
from edge_agent.remote.answers import Teller, answer_frame
from edge_agent.remote.store import (
    COMMANDS_KEPT_MS,
    COMMANDS_OPEN_MAX,
    CommandState,
    ConfigState,
    RemoteStore,
    StoredCommand,
    StoreError,
)

NOW = Instant(1_780_000_000_000, 1_000, synced=True)


@contextmanager
def opened(path: Path) -> Iterator[RemoteStore]:
    store = RemoteStore(path)
    store.open()
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.remote.db"


def command(id_: str, *, at_ms: int = NOW.utc_ms) -> StoredCommand:
    return StoredCommand(id_, "tare", {"slot": "s01-b1"}, at_ms + 60_000, NOW._replace(utc_ms=at_ms), "boot")


def config(version: int, **tables: object) -> DesiredConfig:
    return DesiredConfig(version, config_sha256(tables), dict(tables))


def owed(store: RemoteStore) -> list[Answer]:
    answers, after = [], 0
    while (found := store.next_answer(after)) is not None:
        after, body = found
        answers.append(msgspec.json.decode(body, type=Answer))
    return answers


def test_a_command_is_stored_once_begun_once_and_ended_once(file: Path) -> None:
    with opened(file) as store:
        assert store.add_command(command("c1"))
        assert not store.add_command(command("c1"))
        assert store.begin("c1")
        assert not store.begin("c1")
    with opened(file) as store:
        (found,) = store.open_commands()
        assert found == command("c1")._replace(state=CommandState.ACTING)
        store.finish("c1", CommandState.DONE, result={"after_g": 0.1})
        store.finish("c1", CommandState.FAILED, error="again")
        assert store.open_commands() == []
        assert owed(store) == [
            Answer(cmd="c1", state="acked"),
            Answer(cmd="c1", state="done", result={"after_g": 0.1}),
        ]
        assert not store.add_command(command("c1"))


def test_the_file_is_for_its_owner_only(file: Path) -> None:
    with opened(file):
        assert file.stat().st_mode & 0o777 == 0o600


def test_ids_are_remembered_for_30_days_and_not_for_ever(file: Path) -> None:
    with opened(file) as store:
        for id_ in ("old", "open"):
            store.add_command(command(id_))
        store.finish("old", CommandState.DONE)
        store.add_command(command("soon", at_ms=NOW.utc_ms + COMMANDS_KEPT_MS - 1))
        assert not store.add_command(command("old"))
        store.add_command(command("late", at_ms=NOW.utc_ms + COMMANDS_KEPT_MS + 1))
        assert store.add_command(command("old"))
        assert not store.add_command(command("open")), "what was not ended is never forgotten"


def test_more_commands_than_may_wait_are_not_taken(file: Path) -> None:
    with opened(file) as store:
        for k in range(COMMANDS_OPEN_MAX):
            store.add_command(command(f"c{k}"))
        with pytest.raises(StoreError, match="wait already"):
            store.add_command(command("one more"))


def test_a_damaged_file_is_set_aside(file: Path) -> None:
    with opened(file) as store:
        store.add_command(command("c1"))
    file.write_bytes(b"not a database at all" * 500)
    with opened(file) as store:
        assert store.open_commands() == []
    assert (file.parent / "outbox.remote.db.corrupt-1").exists()


def test_a_configuration_that_is_known_is_passed_over_and_a_refused_content_is_not_tried_again(file: Path) -> None:
    first = config(1, report={"heartbeat_s": 2.0})
    with opened(file) as store:
        assert desired.receive(store, first, 1)
        assert not desired.receive(store, first, 2)
        waiting = store.config(ConfigState.STORED)
        assert waiting is not None
        store.try_config(waiting, {"s01-b1": b"\x00memory"}, 3)
        trying = store.config(ConfigState.TRYING)
        assert trying is not None
        assert trying.memories == {"s01-b1": b"\x00memory"}
        store.refuse_config(trying, "worse", 4)
        again = DesiredConfig(2, first.sha256, first.config)
        assert not desired.receive(store, again, 5)
        assert not desired.receive(store, again, 6)
        assert owed(store) == [
            Answer(cfg=1, applied=False, error="worse"),
            Answer(cfg=2, applied=False, error="the same was refused as version 1: worse"),
        ]


def test_the_newest_that_waits_is_tried_and_one_older_than_what_is_in_force_is_not(file: Path) -> None:
    with opened(file) as store:
        desired.receive(store, config(3, report={"heartbeat_s": 3.0}), 1)
        desired.receive(store, config(4, report={"heartbeat_s": 4.0}), 2)
        waiting = store.config(ConfigState.STORED)
        assert waiting is not None
        assert waiting.version == 4
        store.apply_config(waiting, 3)
        assert not desired.receive(store, config(2, report={"heartbeat_s": 2.0}), 4)
        assert owed(store)[-1] == Answer(
            cfg=2, applied=False, error="it is older than version 4, which is in force"
        )  # fmt: skip


# ---------------------------------------------------------------------- answers


class Scene:
    """A store and an outbox; ``put`` writes at once, as the writer does soon."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock(lambda _utc_ms: Voucher.OPERATOR)
        self.store = RemoteStore(folder / "outbox.remote.db")
        self.outbox = Outbox(folder / "outbox.db", machine="here", max_bytes=2**20, clock=self.clock)
        self.store.open()
        self.outbox.open()
        self.is_open = True
        self.teller = Teller(self.store, self.outbox, self.put)

    def put(self, answer: Answer) -> bool:
        if self.is_open:
            self.outbox.write([Entry(Lane.RSP, answer_frame(answer, self.clock.now(), "boot"), 0)])
        return self.is_open

    def tell_all(self) -> None:
        while self.teller.tell():
            pass

    def told(self) -> list[str]:
        frames = [decode_frame(Lane.RSP, stored.payload) for stored in self.outbox.read(Lane.RSP, 0, 100)]
        return [answer.cmd + answer.state for f in frames if isinstance(f, AnswerFrame) for answer in f.rs]

    def close(self) -> None:
        self.store.close()
        self.outbox.close()


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    made = Scene(folder)
    with contextlib.closing(made):
        yield made


def test_answers_are_told_in_order_and_once_over_restarts(tmp_path: Path) -> None:
    with scene(tmp_path) as first:
        first.store.add_command(command("a"))
        first.store.add_command(command("b"))
        assert first.teller.tell()
        assert first.told() == ["aacked"]
    with scene(tmp_path) as second:
        second.tell_all()
        second.store.finish("a", CommandState.DONE)
        second.tell_all()
        assert second.told() == ["aacked", "backed", "adone"]
    with scene(tmp_path) as third:
        third.tell_all()
        assert third.told() == ["aacked", "backed", "adone"]


def test_a_crash_between_the_outbox_and_anything_else_tells_nothing_twice(tmp_path: Path) -> None:
    with scene(tmp_path) as first:
        first.store.add_command(command("a"))
        first.store.add_command(command("b"))
        first.tell_all()
        # The platform has committed the first; this was noted, then the process died.
        first.outbox.release(Lane.RSP, 1)
        first.tell_all()
        first.outbox.write([])
    with scene(tmp_path) as second:
        second.store.finish("b", CommandState.DONE)
        second.tell_all()
        assert second.told() == ["backed", "bdone"]
        assert [answer.cmd + answer.state for answer in owed(second.store)] == ["backed", "bdone"]


def test_a_full_writer_delays_an_answer_and_skips_none(tmp_path: Path) -> None:
    with scene(tmp_path) as here:
        here.is_open = False
        here.store.add_command(command("a"))
        assert here.teller.tell()
        assert here.told() == []
        here.is_open = True
        here.tell_all()
        assert here.told() == ["aacked"]


def test_a_lost_outbox_hears_again_what_nobody_is_known_to_have(tmp_path: Path) -> None:
    with scene(tmp_path) as first:
        for id_ in ("a", "b", "c"):
            first.store.add_command(command(id_))
        first.tell_all()
        first.outbox.release(Lane.RSP, 1)
        first.tell_all()
    (tmp_path / "outbox.db").write_bytes(b"damaged " * 1000)
    with scene(tmp_path) as second:
        second.tell_all()
        assert second.told() == ["backed", "cacked"]
        second.store.finish("a", CommandState.DONE)
        second.tell_all()
        assert second.told() == ["backed", "cacked", "adone"]


def test_an_outbox_that_begins_anew_while_we_run_loses_no_answer(tmp_path: Path) -> None:
    with scene(tmp_path) as here:
        here.store.add_command(command("a"))
        here.tell_all()
        here.outbox.renew()
        here.store.add_command(command("b"))
        here.tell_all()
        assert sorted(here.told()) == ["aacked", "backed"]


def test_an_answer_that_was_given_up_is_not_told_again(tmp_path: Path) -> None:
    with scene(tmp_path) as here:
        here.store.add_command(command("a"))
        here.tell_all()
        here.outbox.give_up(Lane.RSP, Gap(1, 1, GapReason.REFUSED))
        here.store.add_command(command("b"))
        here.tell_all()
        assert here.told() == ["backed"]


def test_what_is_stored_can_be_read_beside_the_agent(file: Path) -> None:
    with opened(file) as store, contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as beside:
        store.add_command(command("a"))
        assert json.loads(beside.execute("SELECT args FROM command").fetchone()[0]) == {"slot": "s01-b1"}


def test_a_command_that_came_while_nobody_knew_the_time_is_not_forgotten_when_the_clock_is_set(file: Path) -> None:
    with opened(file) as store:
        unsure = command("c1", at_ms=3_600_000)
        store.add_command(unsure._replace(received=unsure.received._replace(synced=False)))
        store.finish("c1", CommandState.DONE)
        store.add_command(command("c2"))
        assert not store.add_command(command("c1"))
