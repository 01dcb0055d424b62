"""``shelfpulse demo channel``: a quarter of the demo's trade, brought into a database that has its companies."""

import os
import sys
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
import psycopg
import typer

from contracts.errors import UserError
from deploy.demo.channel.seeding import SEED, seed_channel

NICE: Final = 15
CONNECT_S: Final = 5

app = typer.Typer(help="Data for the demo: channel.", no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """Data for the demo."""


@app.command()
def channel(
    *,
    dsn: Annotated[str, typer.Option(envvar="SHELFPULSE_DSN", help="Database, as libpq reads it.", show_default=False)],
    seed: Annotated[int, typer.Option(help="Who buys what when.")] = SEED,
    json_: Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")] = False,
) -> None:
    """A quarter of orders, shipments, returns, payments, sales and stock, and what is open today; may be repeated."""
    # The shelves of the demo and the pages come first.
    os.nice(NICE)
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_S) as connection:
            counts = seed_channel(connection, datetime.now(UTC), _quiet if json_ else _say, seed)
    except psycopg.errors.DeadlockDetected as error:
        message = "others held what a week of the history needs, each time that it was tried"
        raise UserError(message, "run it again: it goes on where it stopped") from error
    except psycopg.OperationalError as error:
        message = f"the database cannot be reached: {str(error).splitlines()[0]}"
        raise UserError(message, "check SHELFPULSE_DSN, or start the demo with `shelfpulse up --demo`") from error
    if json_:
        sys.stdout.write(msgspec.json.encode(counts).decode() + "\n")
    else:
        _say(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _quiet(text: str) -> None:
    del text
