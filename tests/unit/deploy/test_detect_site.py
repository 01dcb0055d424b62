"""``shelfpulse detect --site`` on a recorded site whose truth is known."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.errors import UserError
from deploy.detect import judge
from deploy.detect.evaluate import run
from deploy.detect.main import app
from deploy.detect.site import find
from deploy.detect.site_files import read_site
from simulators.recorded_site import record

KEYS = {"kind", "start", "end", "detected", "severity", "score", "evidence"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site")
    record(5, path, days=18, interval_s=600.0)
    return path


def test_the_command_writes_each_anomaly_with_one_place_and_its_evidence(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--site", str(folder), "--out", str(tmp_path / "anomalies.json")])
    assert result.exit_code == 0, result.output
    anomalies = json.loads((tmp_path / "anomalies.json").read_bytes())
    assert anomalies
    for each in anomalies:
        assert set(each) - KEYS in ({"series"}, {"slot"}, {"device"}, {"gateway"})
        assert each["start"] <= each["detected"]
        assert each["end"] is None or each["end"] >= each["start"]
        assert 0.0 <= each["severity"] <= 1.0
        assert 0.0 <= each["score"] <= 1.0
        assert each["evidence"]


def test_most_of_what_is_there_is_found_and_little_else(folder: Path) -> None:
    truths = record(5, folder, days=18, interval_s=600.0)
    found = find(read_site(folder))
    hits = sum(each.finding is not None for each in judge.match(truths, found))
    assert hits / len(truths) >= 0.85
    assert hits / len(found) >= 0.85


def test_frames_told_twice_count_once(folder: Path) -> None:
    once = read_site(folder)
    lines = (folder / "frames.jsonl").read_bytes()
    (folder / "frames.jsonl").write_bytes(lines + lines)
    twice = read_site(folder)
    (folder / "frames.jsonl").write_bytes(lines)
    assert len(twice.columns) == len(once.columns)
    assert len(twice.moves) == len(once.moves)


def test_a_quiet_site_has_no_anomaly(tmp_path: Path) -> None:
    record(6, tmp_path, days=18, interval_s=600.0, quiet=True)
    assert find(read_site(tmp_path)) == []


def test_evaluate_counts_every_kind() -> None:
    result = run([11], 18, 600.0)
    assert len(result.by_kind) == 9
    assert all(score.true for score in result.by_kind.values())
    assert result.constant_false == 0


def test_sites_that_are_judged_beside_each_other_come_to_the_same() -> None:
    assert run([11, 12], 18, 600.0, processes=2) == run([11, 12], 18, 600.0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("slots.csv", "gateway,slot\n", "no column 'channel'"),
        ("frames.jsonl", "{}\n", "line 1"),
        ("pos.csv", "at_ms,gateway,slot,units\nsoon,gw1,s01-b1,1\n", "line 2: at_ms 'soon'"),
    ],
)
def test_a_mistake_of_a_file_is_named(folder: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    for each in ("slots.csv", "channels.csv", "pos.csv"):
        (tmp_path / each).write_bytes((folder / each).read_bytes())
    (tmp_path / "frames.jsonl").write_bytes(b"")
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_site(tmp_path)


def test_neither_or_both_of_file_and_site_is_a_mistake(tmp_path: Path) -> None:
    for arguments in ([], ["x.csv", "--site", str(tmp_path)]):
        result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "o")])
        assert isinstance(result.exception, UserError)
