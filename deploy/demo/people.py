"""The demo's log-ins and API key: random passwords, made once and kept in the state directory."""

import secrets
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from contracts.errors import UserError
from deploy.demo import market
from deploy.local.discovery import Login
from deploy.local.state import write_private
from platform_api.tenancy.service import create_api_key, create_user

_PASSWORD_BYTES: Final = 9
"""12 characters: short enough to type from the terminal into a browser, 72 bits all the same."""


class Access(msgspec.Struct, frozen=True):
    """Who may log in, and the key of scripts (it acts for the brand's operations)."""

    logins: list[Login]
    api_key: str


def ensure_people(connection: psycopg.Connection[Any], file: Path) -> Access:
    """The demo's people, made on the first start. Raises UserError when another state directory has made them."""
    known = {row[0] for row in connection.execute("SELECT login FROM app_user WHERE tenant_id = %s", [market.TENANT])}
    wanted = {person.login for person in market.PEOPLE}
    if file.exists() and wanted <= known:
        return msgspec.json.decode(file.read_bytes(), type=Access)
    if known & wanted:
        message = f"the demo's people are in this database already, and {file} does not have their passwords"
        raise UserError(message, "use the state directory that made the demo, or another database")
    logins = [_create(connection, person) for person in market.PEOPLE]
    operator = next(person.login for person in market.PEOPLE if person.role == "ops")
    access = Access(logins, create_api_key(connection, login=operator, name="demo scripts"))
    write_private(file, msgspec.json.format(msgspec.json.encode(access), indent=1).decode())
    return access


def _create(connection: psycopg.Connection[Any], person: market.Person) -> Login:
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    create_user(
        connection,
        tenant_id=market.TENANT,
        login=person.login,
        password=password,
        role=person.role,
        name=person.name,
        org_id=person.org or None,
        locale="zh",
    )
    return Login(person.login, password, person.role)
