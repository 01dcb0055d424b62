"""``shelfpulse detect FILE.csv``: any CSV in, the same rows with scores out."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from contracts.errors import UserError
from deploy.detect.csv_file import Request, score_file, seconds_of
from deploy.detect.plot import draw

START = datetime(2026, 1, 5, tzinfo=UTC)
QUIET = Console(quiet=True)


def write(path: Path, rows: list[list[str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def read(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def series(spike_at: int, n: int = 300) -> list[list[str]]:
    rng = Random(4)
    rows = [["timestamp", "place", "value", "other"]]
    for k in range(n):
        at = (START + timedelta(minutes=k)).strftime("%Y-%m-%d %H:%M:%S")
        rows.append([at, "höhe, 1", f"{rng.gauss(20, 1) + (40 if k == spike_at else 0):.3f}", "7"])
    return rows


def test_rows_come_back_with_score_and_alarm_appended(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", series(spike_at=200))
    found = score_file(Request(source, "timestamp", ("value",), tmp_path / "out.csv", 0.9995), QUIET, keep=False)
    rows = read(tmp_path / "out.csv")
    assert list(rows[0]) == ["timestamp", "place", "value", "other", "score", "alarm"]
    assert [row["value"] for row in rows] == [row[2] for row in series(spike_at=200)[1:]]
    assert [n for n, row in enumerate(rows) if row["alarm"] == "1"] == [200]
    assert float(rows[200]["score"]) >= 0.9995
    assert (found.rows, found.anomalies) == (300, 1)


def test_of_several_values_the_highest_score_counts_and_each_has_its_own(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", series(spike_at=200))
    score_file(Request(source, "timestamp", ("other", "value"), tmp_path / "out.csv", 0.9995), QUIET, keep=False)
    rows = read(tmp_path / "out.csv")
    assert list(rows[0])[-4:] == ["score", "score:other", "score:value", "alarm"]
    assert all(float(row["score"]) == max(float(row["score:other"]), float(row["score:value"])) for row in rows)
    assert {row["score:other"] for row in rows} == {"0.000000"}
    assert rows[200]["alarm"] == "1"


def test_gaps_score_nothing_and_do_not_stop_it(tmp_path: Path) -> None:
    rows = series(spike_at=200)
    rows[100][2], rows[101][2] = "", "n/a"
    del rows[102][2:]
    score_file(
        Request(write(tmp_path / "in.csv", rows), "timestamp", ("value",), tmp_path / "o.csv", 0.9995),
        QUIET,
        keep=False,
    )
    assert [row["score"] for row in read(tmp_path / "o.csv")][99:102] == ["0.000000"] * 3


def test_semicolons_and_decimal_commas_are_read(tmp_path: Path) -> None:
    rows = [[cell.replace(".", ",") for cell in row] for row in series(spike_at=200)]
    source = write(tmp_path / "in.csv", rows, delimiter=";")
    score_file(Request(source, "timestamp", ("value",), tmp_path / "o.csv", 0.9995), QUIET, keep=False)
    assert [n for n, row in enumerate(read(tmp_path / "o.csv", ";")) if row["alarm"] == "1"] == [200]


@pytest.mark.parametrize(
    "text",
    ["2026-01-05 08:00:00", "2026-01-05T08:00:00Z", "2026-01-05T16:00:00+08:00", "1767600000", "1767600000000",
     "01/05/2026 08:00", "2026/01/05 08:00:00"],
)  # fmt: skip
def test_times_are_read_as_people_write_them(text: str) -> None:
    assert seconds_of(text) == 1_767_600_000.0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "timestamp,x\n2026-01-05,1\n", "no column 'value'"),
        ("b.csv", "timestamp,value\nyesterday,1\n", "line 2: 'yesterday'"),
        ("c.csv", "", "no column 'timestamp'"),
    ],
)
def test_a_mistake_of_the_file_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        score_file(Request(tmp_path / name, "timestamp", ("value",), tmp_path / "out.csv", 0.9995), QUIET, keep=False)


def test_a_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        score_file(Request(tmp_path / "no.csv", "timestamp", ("value",), tmp_path / "o.csv", 0.9995), QUIET, keep=False)


def test_the_plot_is_a_png(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", series(spike_at=200))
    found = score_file(Request(source, "timestamp", ("value",), tmp_path / "o.csv", 0.9995), QUIET, keep=True)
    draw(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
