"""``shelfpulse detect``: scores of any CSV file, or the anomalies of a recorded site.

Exit codes: 0 done, whether or not anything was found; 2 a file, column or row that the user can mend.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from contracts.errors import UserError
from deploy.detect.csv_file import Found, Request, score_file
from deploy.detect.site import find, write
from deploy.detect.site_files import read_site
from stream.detector import ALARM_SCORE

app = typer.Typer(add_completion=False)


@app.command()
def detect(  # noqa: PLR0913 - each option of a command is a parameter
    *,
    file: Annotated[Path | None, typer.Argument(metavar="FILE.CSV", help="Any CSV file with a time column.")] = None,
    time: Annotated[str, typer.Option(help="Column of times: ISO 8601 (UTC unless told) or seconds.")] = "timestamp",
    value: Annotated[list[str] | None, typer.Option(help="Column of values, 'value' unless told; repeatable.")] = None,
    out: Annotated[Path, typer.Option(help="Rows with score and alarm appended; a site's anomalies as JSON.")],
    site: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A recorded site: slots.csv channels.csv frames.jsonl [pos.csv promotions.csv]."
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the series with its anomalies into this PNG.")] = None,
    alarm_score: Annotated[float, typer.Option(min=0.5, max=1, help="An anomaly opens at this score.")] = ALARM_SCORE,
) -> None:
    """Score every row by how rarely the series was so far from what was expected: 0 usual … 1 never seen.

    With --site: find the anomalies of all kinds in a recorded site; the first week is learning.
    """
    console = Console(stderr=True)
    if (file is None) == (site is None):
        msg = "give either a FILE.csv or --site DIR"
        raise UserError(msg)
    if site is not None:
        if plot is not None:
            msg = "--plot draws the series of a CSV file"
            raise UserError(msg)
        _detect_site(site, out, console)
        return
    assert file is not None
    found = score_file(Request(file, time, tuple(value or ["value"]), out, alarm_score), console, keep=plot is not None)
    _tell(found, out, console)
    if plot is not None:
        from deploy.detect.plot import draw  # noqa: PLC0415 - half a second that only a plot needs

        draw(found, plot)


def _detect_site(folder: Path, out: Path, console: Console) -> None:
    recorded = read_site(folder)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"[bold]{folder.name}", total=1.0)
        found = find(recorded, lambda share: progress.update(task, completed=share))
    write(found, out)
    skipped = f", {recorded.skipped:,} lines that cannot be read" if recorded.skipped else ""
    console.print(f"{len(recorded.columns):,} readings, {len(found)} anomalies{skipped}: {out}")


def _tell(found: Found, out: Path, console: Console) -> None:
    console.print(f"{found.rows:,} rows, {found.anomalies} anomalies: {out}")
