"""`shelfpulse api`: run the API; add users, keys and sandboxes."""

import gc
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Annotated, Any, Final, cast

import psycopg
import typer
import uvicorn
from psycopg.rows import dict_row

from contracts import logs
from contracts.errors import UserError
from platform_api import settings as settings_module
from platform_api.app import create_app
from platform_api.flows import sandboxing
from platform_api.health import is_healthy
from platform_api.kit.auth import Role
from platform_api.kit.db import Connection
from platform_api.kit.metrics import serve
from platform_api.settings import Settings
from platform_api.tenancy import service

app = typer.Typer(no_args_is_help=True, help="The channel-management API and its live pages.")
users = typer.Typer(no_args_is_help=True, help="People who log in.")
keys = typer.Typer(no_args_is_help=True, help="API keys for machines.")
app.add_typer(users, name="users")
app.add_typer(keys, name="keys")

PORT_DEFAULT: Final = 8080
DRAIN_S: Final = 5
BACKLOG: Final = 2_048
CONNECTIONS_MAX: Final = 4_000
HEADERS_MAX_BYTES: Final = 32 * 1024
PASSWORD_BYTES: Final = 15

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="TCP port.")] = PORT_DEFAULT,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback unless a proxy is in front.")] = "127.0.0.1",
) -> None:
    """Serve the API and its pages until SIGTERM or SIGINT."""
    settings = settings_module.load()
    logs.configure("api", format_=settings.log_format)
    application = create_app(settings)
    if settings.metrics_port:
        serve((settings.metrics_host, settings.metrics_port), lambda: is_healthy(application.state.pool))
    # A full collection looks through 240,000 objects that stay anyway, and stops every request for 170 ms meanwhile.
    gc.collect()
    gc.freeze()
    # uvicorn drains on a signal and then raises it again: by then it must not kill us, for this exit is a clean one.
    for caught in (signal.SIGTERM, signal.SIGINT):
        signal.signal(caught, lambda *_: None)
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            limit_concurrency=CONNECTIONS_MAX,
            h11_max_incomplete_event_size=HEADERS_MAX_BYTES,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )
    server.run()
    if not server.started:
        raise UserError(f"cannot listen on {host}:{port}", "is another process using the port?")


@app.command()
def document() -> None:
    """Print the OpenAPI document. Nothing is connected to for it."""
    application = create_app(Settings.model_validate({"dsn": "postgresql://", "secret": token_urlsafe(32)}))
    typer.echo(json.dumps(application.openapi()))


@users.command("add")
def add_user(
    login: Annotated[str, typer.Argument(help="Login name, unique over all tenants.")],
    role: Annotated[Role, typer.Option(help="What the person is to the tenant.")],
    tenant: Annotated[str, typer.Option(help="The tenant's id.")],
    name: Annotated[str, typer.Option(help="Name shown to others.")] = "",
    org: Annotated[str | None, typer.Option(help="Organisation whose sites they see; needed for dealers.")] = None,
    create_tenant: Annotated[str, typer.Option(help="Make the tenant, with this name, when it is not there.")] = "",
    generate: Annotated[bool, typer.Option(help="Make a password and print it, instead of asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a user. The first administrator comes this way: there is no default password anywhere."""
    password = None
    if role is not Role.DEVICE:
        password = token_urlsafe(PASSWORD_BYTES) if generate else _ask_password()
    with _database() as connection:
        if create_tenant:
            service.create_tenant(connection, tenant, create_tenant)
        user_id = service.create_user(
            connection, tenant_id=tenant, login=login, password=password, role=role, name=name, org_id=org
        )
    shown: dict[str, Any] = {"id": str(user_id), "login": login, "role": role.value, "tenant": tenant}
    if generate and password is not None:
        shown["password"] = password
    _print(shown, as_json=as_json)


@keys.command("add")
def add_key(
    login: Annotated[str, typer.Argument(help="User whom the key acts for.")],
    name: Annotated[str, typer.Option(help="What it is for.")],
    days: Annotated[int | None, typer.Option(min=1, max=3_650, help="Ends after so many days.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it: the only time that it can be read."""
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with _database() as connection:
        key = service.create_api_key(connection, login=login, name=name, expires_at=expires_at)
    shown = {"key": key, "login": login, "name": name, "expires_at": expires_at and expires_at.isoformat()}
    _print(shown, as_json=as_json)


@app.command()
def sandbox(
    tenant: Annotated[str, typer.Argument(help="The tenant whose integrators shall try things.")],
    anew: Annotated[bool, typer.Option("--reset", help="Let the sandbox that is there begin anew.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a tenant of test data beside a real one, and print a key of it: the only time that it can be read."""
    with _database() as connection:
        connection.row_factory = dict_row
        tx = cast("Connection", connection)
        if anew:
            _print({"tenant": sandboxing.reset(tx, tenant), "of": tenant}, as_json=as_json)
        else:
            _print(asdict(sandboxing.make(tx, tenant)), as_json=as_json)


@contextmanager
def _database() -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(settings_module.load_dsn(), connect_timeout=5) as connection:
            yield connection
    except psycopg.OperationalError as error:
        message = f"the database cannot be reached: {str(error).splitlines()[0]}"
        raise UserError(message, "check SHELFPULSE_DSN") from error


def _ask_password() -> str:
    if not sys.stdin.isatty():
        # One line, for scripts: a password as an argument would show in the process list.
        return sys.stdin.readline().rstrip("\n")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return answer


def _print(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        if value is not None:
            typer.echo(f"{name:10} {value}")
