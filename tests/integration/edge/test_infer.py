"""``edge infer`` over files, with the columns and keys that are an interface."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import UserError
from edge_agent.shelf import offline as infer
from tests.unit.edge.shelf_trace import Trace

SHELF = """\
slot,role,sku,unit_weight_g,unit_weight_sd_g,capacity
bay01,own,cola,330,3,20
bay01,neighbour,tea,250,3,20
"""


def write_trace(file: Path, trace: Trace) -> None:
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["t_ms", "slot", "weight_g", "temp_c"])
        writer.writerows((t_ms, "bay01", f"{weight_g:.1f}", "21.0") for t_ms, weight_g in trace.samples)


def test_the_command_writes_a_line_an_event(tmp_path: Path) -> None:
    trace = Trace().fill(12).settle(10.0).take(2).settle(30.0).lay_foreign().settle(40.0)
    write_trace(tmp_path / "trace.csv", trace)
    (tmp_path / "shelf.csv").write_text(SHELF)
    (tmp_path / "start.json").write_text('{"bay01": 12}')
    subprocess.run(
        [
            sys.executable, "-m", "deploy.cli", "edge", "infer", "trace.csv", "--slots", "shelf.csv",
            "--start", "start.json", "--out", "events.jsonl",
        ],
        cwd=tmp_path, check=True, timeout=60,
    )  # fmt: skip
    sale, laid = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert set(sale) == {"t_ms", "slot", "kind", "units", "conf", "decided_ms"}
    assert (sale["slot"], sale["kind"], sale["units"]) == ("bay01", "sale", -2)
    assert 10_000 <= sale["t_ms"] <= sale["decided_ms"] <= 14_000
    assert (laid["units"], laid["other"]) == (0, {"tea": 1})


def test_without_a_start_the_opening_count_comes_first(tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.csv", Trace().fill(7).settle(10.0))
    (tmp_path / "shelf.csv").write_text(SHELF)
    (opening,) = infer.infer(tmp_path / "trace.csv", tmp_path / "shelf.csv", None)
    assert infer.as_json(opening) | {"conf": 1.0} == {
        "t_ms": 0, "slot": "bay01", "kind": "adjust", "units": 7, "conf": 1.0, "decided_ms": 1_200,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("trace", "shelf", "message"),
    [
        ("t_ms,slot\n", SHELF, "trace.csv, line 1: column weight_g is missing"),
        ("t_ms,slot,weight_g\n0,bay01,heavy\n", SHELF, "trace.csv, line 2: weight_g 'heavy' is not a number"),
        ("t_ms,slot,weight_g\n0,bay01,nan\n", SHELF, "trace.csv, line 2: weight_g 'nan' is not a number"),
        ("t_ms,slot,weight_g\n0,bay99,1\n", SHELF, "trace.csv, line 2: slot 'bay99' is not in"),
        ("t_ms,slot,weight_g\n", SHELF.replace("own", "mine"), "shelf.csv, line 2: role 'mine'"),
        ("t_ms,slot,weight_g\n", SHELF.replace("330", "0"), "shelf.csv, line 2: weights of a unit must be above 0"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, trace: str, shelf: str, message: str) -> None:
    (tmp_path / "trace.csv").write_text(trace)
    (tmp_path / "shelf.csv").write_text(shelf)
    with pytest.raises(UserError) as caught:
        list(infer.infer(tmp_path / "trace.csv", tmp_path / "shelf.csv", None))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("shelf", "start", "message"),
    [
        (SHELF.replace(",20\n", ",0\n"), "{}", "shelf.csv, line 2: capacity 0 is below 1"),
        (SHELF, '{"bay02": 3}', "start.json: slot bay02 is not in"),
    ],
)
def test_a_shelf_without_room_and_a_start_of_nothing_are_told(
    tmp_path: Path, shelf: str, start: str, message: str
) -> None:
    (tmp_path / "trace.csv").write_text("t_ms,slot,weight_g\n")
    (tmp_path / "shelf.csv").write_text(shelf)
    (tmp_path / "start.json").write_text(start)
    with pytest.raises(UserError) as caught:
        list(infer.infer(tmp_path / "trace.csv", tmp_path / "shelf.csv", tmp_path / "start.json"))
    assert message in caught.value.message


def test_explained_events_bring_their_grams_and_a_failure_leaves_the_older_result(tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.csv", Trace().fill(12).settle(10.0).take(2).settle(30.0))
    (tmp_path / "shelf.csv").write_text(SHELF)
    words = [sys.executable, "-m", "deploy.cli", "edge", "infer", "--slots", "shelf.csv", "--out", "events.jsonl"]
    subprocess.run([*words, "trace.csv", "--explain"], cwd=tmp_path, check=True, timeout=60)
    sale = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])
    assert sale["units"] == -2
    assert sale["evidence"]["before_g"] - sale["evidence"]["after_g"] == pytest.approx(660, abs=30)
    assert sale["evidence"]["considered"][0]["own"] == -2
    failed = subprocess.run([*words, "no-such.csv"], cwd=tmp_path, check=False, capture_output=True, timeout=60)
    assert failed.returncode == 2
    assert json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1]) == sale
    assert list(tmp_path.glob(".*.new")) == []
