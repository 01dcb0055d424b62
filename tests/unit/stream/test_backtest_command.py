"""The command line of the back-test: its JSON is an interface, its errors are told in a line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.errors import UserError
from stream.backtest.main import app

KEYS = [
    "series", "periods", "cost_per_period", "holding", "lost", "fill_rate", "orders_per_period", "bullwhip_median",
]  # fmt: skip


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    file = tmp_path / "sales.csv"
    rows = [f"{series},{period},{(period * 7 + len(series)) % 5},0" for series in ("a", "bb") for period in range(20)]
    file.write_text("\n".join(["series,period,units,promo", *rows]))
    return file


def test_json_has_the_keys_of_the_interface_and_counts_from_the_period(sales: Path) -> None:
    answer = CliRunner().invoke(app, [str(sales), "--json", "--from-period", "10", "--lead-time", "0", "--review", "2"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert list(found) == KEYS
    assert (found["series"], found["periods"]) == (2, 20)


def test_a_table_and_a_picture_are_for_people(sales: Path, tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, [str(sales), "--policy", "base_stock", "--plot", str(tmp_path / "out.png")])
    assert answer.exit_code == 0, answer.output
    assert "fill rate" in answer.stdout
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--holding", "0"], "--holding must be above 0"),
        (["--order-cost", "-1"], "--order-cost must be at least 0"),
        (["--from-period", "99"], "no period of the file is at least 99"),
        (["--from-period", "soon"], "no whole number"),
    ],
)
def test_a_wrong_option_is_told_in_a_line(sales: Path, options: list[str], told: str) -> None:
    answer = CliRunner().invoke(app, [str(sales), *options])
    assert isinstance(answer.exception, UserError)
    assert told in answer.exception.message
    assert answer.exception.code == 2


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, [str(tmp_path / "none.csv")])
    assert isinstance(answer.exception, UserError)
