"""``shelfpulse gateways``: what the API's :invite, :revoke and :reinstate do, for operators at the database."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import psycopg
import typer

from contracts import logs
from contracts.errors import UserError
from platform_api import settings
from platform_api.devices import remote_queries as queries
from platform_api.devices import rules, service

CONNECT_S: Final = 5
HOUR_S: Final = 3_600

app = typer.Typer(no_args_is_help=True, help="Let gateways in, and take them out.")

Gateway = Annotated[
    str, typer.Argument(metavar="GATEWAY", help="The gateway's id; TENANT/GATEWAY where it is not the only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def main() -> None:
    """Let gateways in, and take them out."""
    # What was done is printed; the services' own lines are for processes that run on.
    logs.configure("gateways", level="WARNING")


@app.command()
def invite(
    gateway: Gateway,
    *,
    hours: Annotated[
        float,
        typer.Option(
            min=rules.CLAIM_LIFE_MIN_S / HOUR_S, max=rules.CLAIM_LIFE_MAX_S / HOUR_S, help="How long the code is good."
        ),
    ] = rules.CLAIM_LIFE_S / HOUR_S,
    as_json: AsJson = False,
) -> None:
    """Print a claim code for the installer, once; earlier codes of the gateway end. It rotates a secret as well."""
    with _database() as connection:
        tenant, name = _find(connection, gateway)
        try:
            made = service.invite(connection, tenant_id=tenant, gateway=name, life_s=round(hours * HOUR_S))
        except service.RevokedGatewayError as error:
            message = f"{tenant}/{name} is revoked"
            raise UserError(message, f"`shelfpulse gateways reinstate {gateway}` first") from error
    _print(
        {"tenant": tenant, "gateway": name, "code": made.code, "expires_at": made.expires_at.isoformat()},
        as_json=as_json,
    )


@app.command()
def revoke(gateway: Gateway, *, as_json: AsJson = False) -> None:
    """End a gateway's credential and codes: the broker drops it within seconds, what it sends is refused."""
    with _database() as connection:
        tenant, name = _find(connection, gateway)
        since = service.revoke(connection, tenant_id=tenant, gateway=name)
    _print({"tenant": tenant, "gateway": name, "revoked_at": since.isoformat()}, as_json=as_json)


@app.command()
def reinstate(gateway: Gateway, *, as_json: AsJson = False) -> None:
    """Let a revoked gateway be invited again."""
    with _database() as connection:
        tenant, name = _find(connection, gateway)
        service.reinstate(connection, tenant_id=tenant, gateway=name)
    _print({"tenant": tenant, "gateway": name, "revoked_at": None}, as_json=as_json)


def _find(connection: psycopg.Connection[Any], text: str) -> tuple[str, str]:
    """Tenant and id of a registered gateway. Raises UserError."""
    wanted, _, gateway = text.rpartition("/")
    tenants = [row[0] for row in connection.execute(queries.TENANTS_OF_GATEWAY, {"gateway": gateway})]
    found = [tenant for tenant in tenants if wanted in {"", tenant}]
    if not found:
        message = f"there is no gateway {text!r}"
        raise UserError(message, "register it with `shelfpulse import devices FILE.csv`")
    if len(found) > 1:
        message = f"{len(found)} tenants have a gateway {gateway!r}"
        raise UserError(message, f"write it as {found[0]}/{gateway}")
    return found[0], gateway


@contextmanager
def _database() -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(settings.load_dsn(), connect_timeout=CONNECT_S) as connection:
            yield connection
    except psycopg.OperationalError as error:
        message = f"the database cannot be reached: {str(error).splitlines()[0]}"
        raise UserError(message, "check SHELFPULSE_DSN") from error


def _print(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        if value is not None:
            typer.echo(f"{name:10} {value}")
