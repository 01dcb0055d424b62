"""``shelfpulse verify``: proves the invariants on a database, running or not.

Everything is read in one REPEATABLE READ snapshot, so that a live system can be verified: an epoch is in it or is not.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy import books, proofs
from deploy import ledger as ledgers
from deploy.ledger import GatewayLedger
from deploy.local.discovery import find_stack
from deploy.proofs import Account, Broken
from stream import storage

BROKEN_EXIT: Final = 1

SNAPSHOT: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
TITLES: Final = {
    "I1": "every frame once: committed, quarantined or a declared gap",
    "I2": "what was sent is what is stored",
    "I3": "moves of stock sum to what is on hand, transfers to 0",
    "I4": "one live proposal for each site and SKU",
    "I5": "every unit of money on an order is explained by lines and adjustments",
}

app = typer.Typer(help="Prove that nothing was lost and nothing is there twice.")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a verification. ``rows_checked`` counts readings, rows of the ledgers and proposals."""

    ok: bool
    invariants: dict[str, bool]
    rows_checked: int
    readings: int
    seconds: float
    broken: list[Broken]


@app.callback(invoke_without_command=True)
def main(
    *,
    dsn: Annotated[str, typer.Option(envvar="SHELFPULSE_DSN", help="Database; the running stack's unless given.")] = "",
    ledger: Annotated[
        list[Path] | None,
        typer.Option(
            help="What gateways say they wrote: of `edge outbox --ledger`, or a JSON line a lane; repeatable."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Prove the invariants I1 to I5. Exits with 1 when one is broken, and names the rows."""
    read = [ledgers.read(file) for file in ledger or ()]
    accounts = [account for each in read for account in each.accounts]
    chains = [chain for each in read for chain in each.chains]
    report = verify(dsn or find_stack().dsn, accounts, chains)
    if as_json:
        print(msgspec.json.encode(report).decode())  # noqa: T201 - the command's output
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(BROKEN_EXIT)


def verify(dsn: str, accounts: Iterable[Account] = (), chains: Iterable[GatewayLedger] = ()) -> Report:
    """Prove the invariants of the database at ``dsn``, and that it agrees with what gateways say they wrote.

    Memory is bounded; a million readings take a few seconds. Raises UserError when the database cannot be reached.
    """
    started_s = time.monotonic()
    with storage.connect(dsn, application="shelfpulse verify") as snapshot:
        storage.probe_tier(snapshot)
        snapshot.execute(SNAPSHOT)
        readings = proofs.Readings()
        broken = [
            *proofs.bounded(proofs.prove_ledger(snapshot)),
            *proofs.bounded(proofs.prove_accounts(snapshot, accounts)),
            *proofs.bounded(ledgers.prove(snapshot, list(chains))),
            *proofs.bounded(proofs.prove_sent(snapshot)),
            *proofs.bounded(readings.prove(snapshot)),
            *proofs.bounded(books.prove_stock(snapshot)),
            *proofs.bounded(proofs.prove_proposals(snapshot)),
            *proofs.bounded(books.prove_money(snapshot)),
        ]
        counted = (proofs.LANE_COUNT, proofs.BATCH_COUNT, proofs.PROPOSAL_COUNT, books.ENTRY_COUNT, books.ORDER_COUNT)
        rows = readings.rows + sum(proofs.count(snapshot, query) for query in counted)
        snapshot.execute(b"ROLLBACK")
    names = {one.invariant for one in broken}
    return Report(
        ok=not broken,
        invariants={name: name not in names for name in TITLES},
        rows_checked=rows,
        readings=readings.rows,
        seconds=round(time.monotonic() - started_s, 3),
        broken=broken,
    )


def read_ledger(file: Path) -> list[Account]:
    """The accounts in a ledger file. Raises UserError that names file and line."""
    return ledgers.read(file).accounts


def _show(report: Report) -> None:
    console = Console()
    table = Table(title="verify")
    for heading in ("", "invariant", "holds"):
        table.add_column(heading)
    for name, title in TITLES.items():
        table.add_row(name, title, "[green]yes[/]" if report.invariants[name] else "[red]no[/]")
    console.print(table)
    for one in report.broken:
        console.print(f"[red]{one.invariant}[/] {escape(one.where)}: {escape(one.what)}", highlight=False)
    console.print(f"{report.rows_checked:,} rows checked in {report.seconds:.1f} s", highlight=False)
