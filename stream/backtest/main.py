"""``shelfpulse backtest SALES.csv``: the command around the simulation."""

import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

from contracts.errors import UserError
from stream.backtest.figures import Figures, summarise
from stream.backtest.panel import Panel, parse
from stream.backtest.policies import WEIGHT_DEFAULT, PolicyName
from stream.backtest.run import History, backtest
from stream.backtest.simulation import Terms

FILE_MAX_BYTES: Final = 1 << 30

app = typer.Typer(add_completion=False)


@app.command()
def run(  # noqa: PLR0913 - one argument an option
    file: Annotated[Path, typer.Argument(metavar="SALES.csv", help="Columns series,period,units[,promo].")],
    *,
    lead_time: Annotated[int, typer.Option(min=0, max=1_000, help="Periods until an order arrives; 0: at once.")] = 1,
    review: Annotated[int, typer.Option(min=1, max=1_000, help="Order in every so many periods.")] = 1,
    holding: Annotated[float, typer.Option(help="Money a unit on hand at the end of a period.")] = 1.0,
    penalty: Annotated[float, typer.Option(help="Money a lost unit.")] = 19.0,
    order_cost: Annotated[float, typer.Option(help="Money an order.")] = 0.0,
    policy: Annotated[PolicyName, typer.Option(help="Policy; auto chooses by what each would have cost so far.")] = (
        PolicyName.AUTO
    ),
    weight: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="Weight of the newest period, of every policy but auto.")
    ] = WEIGHT_DEFAULT,
    from_period: Annotated[str | None, typer.Option(metavar="N", help="Count from this period on.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw stock, demand and lost units.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """What a policy would have cost on past demand, were it never to look ahead.

    Every series is a shop of its own that loses what it cannot sell. The demand of a period is learnt after it; `promo`
    is known for the next lead time + review periods. Nothing else is.
    """
    terms = _terms(lead_time, review, holding, penalty, order_cost)
    panel = _read(file)
    counted = panel.counted(from_period)
    history = backtest(panel, terms, policy, weight)
    figures = summarise(panel, history, terms, counted)
    if plot is not None:
        _draw(panel, history, counted, plot)
    if json_:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    else:
        _print(figures, policy)


def _draw(panel: Panel, history: History, counted: npt.NDArray[np.bool_], out: Path) -> None:
    try:
        from stream.backtest.plot import draw  # noqa: PLC0415 - a second to import, for those who want a picture
    except ModuleNotFoundError as error:
        message = f"--plot needs the package {error.name}, which is not installed"
        raise UserError(message, "install shelfpulse[all]") from error
    draw(panel, history, counted, out)


def _terms(lead_time: int, review: int, holding: float, penalty: float, order_cost: float) -> Terms:
    for name, value, least in (("holding", holding, 0.0), ("penalty", penalty, 0.0)):
        if not least < value < float("inf"):
            message = f"--{name} must be above 0"
            raise UserError(message)
    if not 0 <= order_cost < float("inf"):
        message = "--order-cost must be at least 0"
        raise UserError(message)
    return Terms(lead_time, review, holding, penalty, order_cost)


def _read(file: Path) -> Panel:
    try:
        if file.stat().st_size > FILE_MAX_BYTES:
            message = f"{file} is larger than {FILE_MAX_BYTES} bytes"
            raise UserError(message, "split it by series")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"cannot read {file}: {error.strerror}"
        raise UserError(message) from error
    except UnicodeDecodeError as error:
        message = f"{file} is not UTF-8 at byte {error.start}"
        raise UserError(message) from error
    try:
        return parse(text)
    except UserError as error:
        message = f"{file}: {error.message}"
        raise UserError(message, error.hint) from error


def _print(figures: Figures, policy: PolicyName) -> None:
    table = Table("", f"{policy}", title=f"{figures.series} series, {figures.periods} periods")
    bullwhip = figures.bullwhip_median
    for name, text in (
        ("cost a period", f"{figures.cost_per_period:,.2f}"),
        ("  holding", f"{figures.holding:,.2f}"),
        ("  lost sales", f"{figures.lost:,.2f}"),
        ("fill rate", f"{figures.fill_rate:.2%}"),
        ("orders a period", f"{figures.orders_per_period:.2f}"),
        ("bullwhip, median", "demand does not vary" if bullwhip is None else f"{bullwhip:.2f}"),
    ):
        table.add_row(name, text)
    Console().print(table)
