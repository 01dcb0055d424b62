"""``shelfpulse replay --backfill`` on a running stream: frames older than retention go in, once, and are proven."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from contracts import frames as wire
from contracts import topics
from contracts.frames import Event, EventFrame, EventKind, TelemetryFrame
from contracts.topics import Lane
from deploy.verify import verify
from tests.integration.stream.running import ADDRESS, ROOT, Platform, eventually

OLD_MS = time.time_ns() // 1_000_000 - 500 * 86_400_000
FRAMES = 5


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Five frames of readings 100 days before retention, one of events, and one of a plain device."""
    sent: list[tuple[str, bytes]] = [
        (topics.up(ADDRESS, Lane.TEL), wire.encode(TelemetryFrame(
            v=1, ep="0ld1", seq=seq, t0=OLD_MS + seq, ch=["b1.weight_g"], i=[0], d=[0], x=[float(seq)],
        )))
        for seq in range(1, FRAMES + 1)
    ]  # fmt: skip
    event = Event(id="e1", d=0, slot="b1", kind=EventKind.SALE, units=-1, on_shelf=3)
    sent += [
        (topics.up(ADDRESS, Lane.EVT), wire.encode(EventFrame(v=1, ep="0ld1", seq=1, t0=OLD_MS, ev=[event]))),
        (topics.raw(ADDRESS), b'{"ts":%d,"values":{"b9.temp_c":5}}' % OLD_MS),
    ]
    file = tmp_path / "old.jsonl"
    file.write_text("".join(f'{{"at":{OLD_MS},"topic":"{topic}","payload":{body.decode()}}}\n' for topic, body in sent))
    return file


def replay(platform: Platform, file: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "replay", str(file), "--deadline", "30", "--json", *options],
        check=False, capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "SHELFPULSE_DSN": platform.dsn, "MQTT_URL": platform.broker.device_url},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def assert_stored_once(platform: Platform) -> None:
    eventually(lambda: platform.one("SELECT count(*) FROM reading") == FRAMES + 1, "all readings are stored")
    assert platform.rows("SELECT value FROM reading ORDER BY time, value") == [
        (5.0,),
        (1.0,),
        (2.0,),
        (3.0,),
        (4.0,),
        (5.0,),
    ]
    assert platform.one("SELECT count(*) FROM shelf_event") == 1
    report = verify(platform.dsn)
    assert report.ok, report.broken


def test_old_frames_are_refused_unless_they_are_a_backfill(platform: Platform, recording: Path) -> None:
    platform.start()
    report = replay(platform, recording, "--backfill")
    assert (report["complete"], report["committed"], report["retried"], report["held"]) == (True, FRAMES + 1, 0, 0)
    assert_stored_once(platform)
    assert platform.one("SELECT count(*) FROM quarantine") == 0
    assert platform.one("SELECT count(*) FROM backfill WHERE open_until > now()") == 0
    # It is over: nobody else's old frames slip in behind it.
    again = recording.with_name("again.jsonl")
    again.write_text(recording.read_text().replace('"0ld1"', '"0ld2"'))
    replay(platform, again)
    eventually(lambda: platform.one("SELECT count(*) FROM quarantine WHERE seq IS NOT NULL") == FRAMES + 1, "refused")
    assert {reason for (reason,) in platform.rows("SELECT reason FROM quarantine")} == {"bad_time"}


def test_what_was_refused_for_its_age_is_taken_out_of_quarantine(platform: Platform, recording: Path) -> None:
    platform.start()
    replay(platform, recording)
    eventually(lambda: platform.one("SELECT count(*) FROM quarantine") == FRAMES + 2, "all are refused")
    assert platform.one("SELECT count(*) FROM reading") == 0
    report = replay(platform, recording, "--backfill")
    assert (report["complete"], report["retried"], report["held"]) == (True, FRAMES + 1, 0)
    assert_stored_once(platform)
    assert replay(platform, recording, "--backfill")["retried"] == 0
    assert_stored_once(platform)
