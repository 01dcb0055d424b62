"""What a simulator says to a person: a line of progress on stderr, and its report on stdout."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a line while the block runs; call what it gives with the numbers written and committed."""
    shown = Console(stderr=True)
    if quiet or not shown.is_terminal:
        yield lambda _written, _committed: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=shown, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def watch(written: int, committed: int) -> None:
            bar.update(task, description=f"{written:,} {what} written, {committed:,} committed")

        yield watch


def show(report: msgspec.Struct, *, as_json: bool) -> None:
    """Print a report: a table, or one JSON object."""
    if as_json:
        print(msgspec.json.encode(report).decode())  # noqa: T201 - the command's output
        return
    table = Table(show_header=False, box=None)
    for name, value in msgspec.to_builtins(report).items():
        table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, (int, float)) else str(value))
    Console().print(table)
