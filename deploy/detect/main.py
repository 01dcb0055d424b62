"""``shelfpulse detect``: scores of any CSV file, or the anomalies of a recorded site.

Exit codes: 0 done, whether or not anything was found; 2 a file, column or row that the user can mend.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.errors import UserError
from deploy.detect.csv_file import Found, Request, score_file
from stream.detector import ALARM_SCORE

app = typer.Typer(add_completion=False)


@app.command()
def detect(
    *,
    file: Annotated[Path | None, typer.Argument(metavar="FILE.CSV", help="Any CSV file with a time column.")] = None,
    time: Annotated[str, typer.Option(help="Column of times: ISO 8601 (UTC unless told) or seconds.")] = "timestamp",
    value: Annotated[list[str] | None, typer.Option(help="Column of values, 'value' unless told; repeatable.")] = None,
    out: Annotated[Path, typer.Option(help="Rows with score and alarm appended; a site's anomalies as JSON.")],
    plot: Annotated[Path | None, typer.Option(help="Draw the series with its anomalies into this PNG.")] = None,
    alarm_score: Annotated[float, typer.Option(min=0.5, max=1, help="An anomaly opens at this score.")] = ALARM_SCORE,
) -> None:
    """Score every row by how rarely the series was so far from what was expected: 0 usual … 1 never seen."""
    console = Console(stderr=True)
    if file is None:
        msg = "nothing to look at"
        raise UserError(msg, "give a FILE.csv")
    found = score_file(Request(file, time, tuple(value or ["value"]), out, alarm_score), console, keep=plot is not None)
    _tell(found, out, console)
    if plot is not None:
        from deploy.detect.plot import draw  # noqa: PLC0415 - half a second that only a plot needs

        draw(found, plot)


def _tell(found: Found, out: Path, console: Console) -> None:
    console.print(f"{found.rows:,} rows, {found.anomalies} anomalies: {out}")
