"""``shelfpulse quarantine`` on a running stream: found, shown, tried again, given up."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from contracts import frames as wire
from contracts import topics
from contracts.errors import UserError
from contracts.frames import TelemetryFrame
from contracts.topics import Lane
from deploy.quarantine import app, read_time
from deploy.verify import verify
from tests.integration.stream.running import ADDRESS, Device, Platform, eventually

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
UP = topics.up(ADDRESS, Lane.TEL)


def call(platform: Platform, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--dsn", platform.dsn])


def rows(platform: Platform, *words: str) -> list[dict[str, Any]]:
    result = call(platform, "list", "--json", *words)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def ahead_of_time(seq: int) -> bytes:
    """A frame whose time is still to come for 5 min and a moment."""
    t0_ms = time.time_ns() // 1_000_000 + 303_000
    return wire.encode(TelemetryFrame(v=1, ep="aaaa", seq=seq, t0=t0_ms, ch=["b1.weight_g"], i=[0], d=[0], x=[1.5]))


def test_rows_are_found_by_what_they_are_and_a_page_follows_the_other(platform: Platform, device: Device) -> None:
    platform.start()
    for _ in range(3):
        device.publish(UP, b"\xff{")
    device.publish(topics.up(ADDRESS._replace(gateway="g9"), Lane.TEL), b"{}")
    eventually(lambda: platform.one("SELECT count(*) FROM quarantine") == 4, "four rows")
    found = rows(platform)
    assert [row["id"] for row in found] == sorted((row["id"] for row in found), reverse=True)
    assert {row["gateway"] for row in rows(platform, "--reason", "unknown_gateway")} == {"g9"}
    assert len(rows(platform, "--gateway", "g1", "--tenant", "acme", "--since", "1h")) == 3
    assert (
        rows(platform, "--until", "1h") == rows(platform, "--state", "retried") == rows(platform, "--tenant", "b") == []
    )
    first = rows(platform, "--limit", "3")
    assert first + rows(platform, "--limit", "3", "--before", str(first[-1]["id"])) == found
    assert "bad_json" in call(platform, "list").output
    broken = str(rows(platform, "--reason", "bad_json")[0]["id"])
    assert json.loads(call(platform, "show", broken, "--json").output)["payload_base64"] == "/3s="
    assert "ff 7b" in call(platform, "show", broken).output
    missing = call(platform, "show", "999")
    assert isinstance(missing.exception, UserError)


def test_a_retry_stores_a_settled_frame_once_and_says_so(platform: Platform, device: Device) -> None:
    platform.start()
    device.publish(UP, ahead_of_time(1))
    eventually(lambda: platform.one("SELECT count(*) FROM quarantine") == 1, "it is in quarantine")
    (row,) = rows(platform)
    assert (row["reason"], row["seq"]) == ("bad_time", 1)
    # Its time comes nearer with every try.
    eventually(lambda: call(platform, "retry", str(row["id"])).exit_code == 0, "it is stored")
    assert rows(platform)[0]["state"] == "retried"
    again = call(platform, "retry", str(row["id"]))
    assert isinstance(again.exception, UserError)
    assert platform.rows("SELECT count(*), min(value) FROM reading") == [(1, 1.5)]
    assert platform.rows("SELECT seq, readings, quarantined FROM ingest_watermark") == [(1, 1, 1)]
    report = verify(platform.dsn)
    assert report.ok, report.broken


def test_what_is_refused_again_is_held_and_the_exit_code_says_so(platform: Platform, device: Device) -> None:
    platform.start()
    device.publish(UP, b'{"v":1,"ep":"aaaa","seq":1,"t0":1,"ch":[],"i":[],"d":[],"x":[]}')
    eventually(lambda: rows(platform), "it is in quarantine")
    result = call(platform, "retry", "--reason", "bad_columns", "--json")
    assert (result.exit_code, json.loads(result.output)) == (1, {"held": 1})
    assert "1 refused once more" in call(platform, "retry", "--reason", "bad_columns").output


def test_what_is_given_up_loses_its_payload_and_keeps_its_row(platform: Platform, device: Device) -> None:
    platform.start()
    device.publish(UP, ahead_of_time(1))
    eventually(lambda: rows(platform), "it is in quarantine")
    assert json.loads(call(platform, "discard", "--all", "--json").output) == {"discarded": 1}
    assert platform.rows("SELECT octet_length(payload), payload_bytes > 0 FROM quarantine") == [(0, True)]
    assert json.loads(call(platform, "retry", "--gateway", "g1", "--json").output) == {}
    assert verify(platform.dsn).ok


def test_a_payload_that_was_cut_is_not_tried_again(platform: Platform) -> None:
    with psycopg.connect(platform.dsn) as connection:
        connection.execute(
            "INSERT INTO quarantine (topic, reason, detail, payload, payload_bytes)"
            " VALUES ('t', 'too_large', '', 'x', 9)"
        )
    (row,) = rows(platform)
    assert isinstance(call(platform, "retry", str(row["id"])).exception, UserError)
    assert rows(platform)[0]["state"] == "held"


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_nothing_is_changed_without_saying_what(command: str, platform: Platform) -> None:
    assert isinstance(call(platform, command).exception, UserError)
    assert isinstance(call(platform, command, "--all", "--gateway", "g1").exception, UserError)


def test_times_are_points_or_ages() -> None:
    assert read_time("12h", NOW) == NOW - timedelta(hours=12)
    assert read_time("2026-05-01T12:00Z") == NOW
    assert read_time("2026-05-01T12:00") == NOW
    assert read_time(None) is None
    for text in ("soon", "1e999d", "d"):
        with pytest.raises(UserError):
            read_time(text)
