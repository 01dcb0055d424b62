"""``shelfpulse import KIND FILE.csv``: the command around the staged imports."""

import inspect
import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
import psycopg
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.errors import UserError
from platform_api import settings
from platform_api.flows.importing import import_file
from platform_api.imports.kinds import MODELS, columns, required_columns
from platform_api.imports.service import Outcome
from platform_api.imports.staging import FILE_MAX_BYTES
from platform_api.kit.nouns import Kind

REFUSED: Final = 2
_CONNECT_S: Final = 5
ALIASES: Final = {
    "channels": Kind.CHANNEL_SETTINGS,
    "promotions": Kind.PROMOTION_PLAN,
    "pos": Kind.POS_SALES,
    "stock": Kind.MOVES,
}
"""Shorter names of kinds."""


def _help() -> str:
    parts = ["Import a CSV or XLSX file: every row is checked first, and all of it is written or nothing.", ""]
    for kind in Kind:
        needed = set(required_columns(kind))
        names = ", ".join(name if name in needed else f"[{name}]" for name in columns(kind))
        parts += [f"{kind}: {inspect.getdoc(MODELS[kind])}", "", f"    {names}", ""]
    shorter = ", ".join(f"{alias} is {kind}" for alias, kind in ALIASES.items())
    parts += [f"Shorter: {shorter}.", ""]
    parts.append("Columns in brackets may be left out or empty. Importing a file again changes nothing.")
    return "\n".join(parts).replace("``", "")


def _kind(name: str) -> Kind:
    try:
        return ALIASES.get(name) or Kind(name)
    except ValueError as error:
        message = f"there is no kind {name!r}; there are {', '.join(Kind)}"
        raise typer.BadParameter(message) from error


# Columns stand in brackets, which rich would take for its markup.
app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(help=_help())
def import_(
    kind: Annotated[Kind, typer.Argument(parser=_kind, metavar="KIND", help=", ".join(Kind))],
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="CSV in UTF-8, or XLSX; with a header.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Replaced by the help above, which lists the columns."""
    content = _read(file)
    try:
        with psycopg.connect(settings.load_dsn(), connect_timeout=_CONNECT_S) as connection:
            outcome = import_file(connection, kind, content, dry_run=dry_run)
    except psycopg.OperationalError as error:
        message = f"the database cannot be reached: {str(error).splitlines()[0]}"
        raise UserError(message, "check SHELFPULSE_DSN, or start a stack with `shelfpulse up`") from error
    _print(file, outcome, dry_run=dry_run, as_json=json_)
    raise typer.Exit(REFUSED if outcome.faults else 0)


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > FILE_MAX_BYTES:
            message = f"{file} is larger than {FILE_MAX_BYTES} bytes"
            raise UserError(message, "split it")
        return file.read_bytes()
    except OSError as error:
        message = f"cannot read {file}: {error.strerror}"
        raise UserError(message) from error


def _print(file: Path, outcome: Outcome, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        shown = {
            "kind": outcome.kind,
            "rows": outcome.rows,
            "created": outcome.created,
            "updated": outcome.updated,
            "unchanged": outcome.unchanged,
            "dry_run": dry_run,
            "faults": outcome.faults,
        }
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
        return
    if outcome.faults:
        table = Table("row", "column", "what is wrong")
        for fault in outcome.faults:
            table.add_row(str(fault.line), escape(fault.column), escape(fault.text))
        console = Console(stderr=True)
        console.print(table)
        console.print(f"error: {file}: {len(outcome.faults)} mistakes, nothing was imported", markup=False)
        return
    verb = "would be" if dry_run else "were"
    sys.stdout.write(
        f"{outcome.rows} rows of {outcome.kind}: {outcome.created} {verb} created, {outcome.updated} updated, "
        f"{outcome.unchanged} unchanged\n"
    )
