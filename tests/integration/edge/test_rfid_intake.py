"""Readers push rounds over a real socket."""

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import UserError
from deploy.local.deadline import wait_until
from edge_agent.bus import intake as intake_module
from edge_agent.bus.intake import BODY_BYTES_MAX, CONNECTIONS_MAX, Intake
from edge_agent.bus.registers import Decoded
from edge_agent.outbox.builder import Polled
from edge_agent.polling import Found, Polling
from edge_agent.settings import load
from tests.services.certificates import Authority, Pair

TOKEN = "a token of the readers"
Seen = list[dict[str, float]]


@contextmanager
def intake(token: str = "", tls: Pair | None = None) -> Iterator[tuple[Intake, Seen]]:
    seen: Seen = []

    def sink(_mono_ms: int, decoded: Sequence[Decoded]) -> None:
        seen.append({each.channel: each.value for each in decoded})

    files = None if tls is None else (tls.cert, tls.key)
    server = Intake("127.0.0.1", 0, token, {"door-1": 2, "door-2": 1}, sink, files)
    server.start()
    try:
        yield server, seen
    finally:
        server.stop()


def post(
    server: Intake, body: object, *, path: str = "/rfid", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, text, headers or {})
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def round_(number: int, *tags: str, reader: str = "door-1") -> dict[str, object]:
    return {"reader": reader, "round": number, "tags": tags}


def test_rounds_become_counts_of_tags_and_passages() -> None:
    with intake() as (server, seen):
        assert post(server, round_(1, "a", "b")) == (200, {"present": 2, "appeared": ["a", "b"], "removed": []})
        assert post(server, round_(2, "a")) == (200, {"present": 2, "appeared": [], "removed": []})
        assert post(server, round_(3, "a")) == (200, {"present": 1, "appeared": [], "removed": ["b"]})
        assert post(server, round_(3, "a")) == (200, {"repeated": True, "present": 1})
        assert post(server, round_(1, "a", reader="door-2"))[0] == 200
    assert seen == [
        {"door-1.tag_count": 2.0, "door-1.portal_count": 2.0},
        {"door-1.tag_count": 2.0, "door-1.portal_count": 2.0},
        {"door-1.tag_count": 1.0, "door-1.portal_count": 2.0},
        {"door-2.tag_count": 1.0, "door-2.portal_count": 1.0},
    ]


def test_one_connection_serves_many_rounds() -> None:
    with intake() as (server, seen):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for number in range(20):
            connection.request("POST", "/rfid", json.dumps(round_(number, "a")))
            assert connection.getresponse().read()
        connection.close()
    assert len(seen) == 20


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (round_(1, "a", reader="door-9"), 404, "no [[reader]] is named 'door-9'"),
        ({"reader": "door-1", "round": -1, "tags": []}, 400, "Expected `int` >= 0 - at `$.round`"),
        ({"reader": "door-1", "round": 1}, 400, "Object missing required field `tags`"),
        (round_(1, *[str(k) for k in range(2_001)]), 400, "Expected `array` of length <= 2000 - at `$.tags`"),
        (b"{", 400, "Input data was truncated"),
        (b"[" * 60_000, 400, "Expected `object`, got `array`"),
    ],
)
def test_what_is_no_round_is_refused_and_changes_nothing(body: object, status: int, text: str) -> None:
    with intake() as (server, seen):
        assert post(server, body) == (status, {"error": text})
        assert post(server, round_(1, "a"))[0] == 200
    assert len(seen) == 1


def test_a_body_that_is_too_long_is_not_even_read() -> None:
    with intake() as (server, _):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("POST", "/rfid", headers={"Content-Length": str(BODY_BYTES_MAX + 1)})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (413, "close")
        connection.close()


def test_only_who_has_the_token_is_heard() -> None:
    with intake(TOKEN) as (server, seen):
        assert post(server, round_(1, "a"))[0] == 401
        assert post(server, round_(1, "a"), headers={"Authorization": "Bearer wrong"})[0] == 401
        assert post(server, round_(1, "a"), headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert len(seen) == 1


def test_a_reader_may_speak_tls_and_one_that_does_not_is_hung_up_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with intake(TOKEN, authority.issue("127.0.0.1")) as (server, seen):
        trusting = ssl.create_default_context(cafile=authority.ca)
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=trusting)
        connection.request("POST", "/rfid", json.dumps(round_(1, "a")), {"Authorization": f"Bearer {TOKEN}"})
        assert connection.getresponse().status == 200
        connection.close()
        with pytest.raises((http.client.HTTPException, OSError)):
            post(server, round_(2, "a"))
    assert len(seen) == 1


def test_connections_that_say_nothing_leave_room_again_when_they_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with intake() as (server, _), contextlib.ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            for _ in range(CONNECTIONS_MAX)
        ]
        for one in idle:
            one.sendall(b"POST /rfid HTTP/1.1\r\n")
        with pytest.raises((http.client.HTTPException, OSError)):
            post(server, round_(1, "a"))
        monkeypatch.setattr(intake_module, "REQUEST_MAX_S", 0.1)
        for one in idle:
            while one.recv(100):
                pass
        monkeypatch.undo()

        def is_taken() -> bool:
            with contextlib.suppress(http.client.HTTPException, OSError):
                return post(server, round_(1, "a"))[0] == 200
            return False

        # The other end sees that it was ended a moment before its place is free.
        assert wait_until(is_taken, 60)


def test_other_paths_are_not_there() -> None:
    with intake() as (server, _):
        assert post(server, round_(1, "a"), path="/")[0] == 404


def test_a_port_that_is_taken_is_told() -> None:
    with intake() as (server, _):
        second = Intake("127.0.0.1", server.port, "", {}, lambda *_: None)
        with pytest.raises(UserError, match="cannot listen on"):
            second.start()


def test_rounds_reach_frames_by_exception(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        'tenant = "demo"\nsite = "store-01"\ngateway = "gw-01"\n'
        '[intake]\nport = 0\n[[reader]]\nname = "door-1"\nmissed_rounds = 1\n'
    )
    found: list[Found] = []
    polling = Polling(load(config, {}), found.append, lambda: "id", {})
    polling.start()
    try:
        assert polling.intake is not None
        for number, tags in enumerate([["a"], ["a"], ["a", "b"], ["b"]]):
            assert post(polling.intake, round_(number, *tags))[0] == 200
    finally:
        polling.stop()
    readings = [
        (each.channel, each.value) for polled in found if isinstance(polled, Polled) for each in polled.readings
    ]
    assert readings == [
        ("door-1.tag_count", 1.0),
        ("door-1.portal_count", 1.0),
        ("door-1.tag_count", 2.0),
        ("door-1.portal_count", 2.0),
        ("door-1.tag_count", 1.0),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[intake]\nhost = "0.0.0.0"\n[[reader]]\nname = "door-1"\n', "intake.token_file: whoever reaches 0.0.0.0"),
        (
            '[intake]\nhost = "0.0.0.0"\ntoken_file = "empty"\n[[reader]]\nname = "d"\n',
            "intake.token_file: a token has at least 16 characters",
        ),
        (
            '[intake]\nhost = "0.0.0.0"\ntoken_file = "token"\n[[reader]]\nname = "d"\n',
            "intake: the token would cross the network in the clear",
        ),
        ('[[reader]]\nname = "d"\n[[reader]]\nname = "d"\n', "reader: name, of a reader or device, 'd' is there twice"),
        ('[[reader]]\nname = "d"\nmissed_rounds = 0\n', "reader[1].missed_rounds: input should be greater than or"),
    ],
)
def test_a_mistake_in_the_tables_of_readers_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    config = tmp_path / "edge.toml"
    for name, content in (("empty", "\n"), ("token", "0123456789abcdef\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    config.write_text(f'tenant = "demo"\nsite = "store-01"\ngateway = "gw-01"\n{text}')
    with pytest.raises(UserError) as raised:
        load(config, {})
    assert str(raised.value).startswith(f"{config}: {line}")
