"""Desired configurations of a gateway: each PUT is a version, which the worker publishes and the gateway answers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Response
from psycopg.types.json import Jsonb

from contracts.commands import config_sha256
from platform_api.devices import remote_queries as queries
from platform_api.devices.parameters import GatewayId, Operator, SeenGateway, lock_gateway, place
from platform_api.devices.remote_models import ConfigRequest, ConfigState, ConfigVersion
from platform_api.devices.shape import faults
from platform_api.kit.auth import Caller, Principal
from platform_api.kit.conditions import ExpectedVersion, etag, stale
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import (
    CHANGE_RESPONSES,
    COMMON_RESPONSES,
    NOT_FOUND_RESPONSE,
    ApiError,
    InputError,
)
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router

router = Router(tags=["gateways"], responses={**COMMON_RESPONSES, **NOT_FOUND_RESPONSE})

NO_VERSION = 0
"""ETag ``"0"``: what a gateway without a desired configuration has, and what the first PUT names."""


@router.get("/v1/gateways/{gateway}/config", summary="Read the desired configuration")
def read_config(gateway: SeenGateway, caller: Caller, tx: Tx, response: Response) -> ConfigVersion:
    """The newest version; its ETag is what the next one must name. 404 with ETag `"0"` while there is none."""
    row = _newest(tx, caller, gateway)
    if row is None:
        raise ApiError(HTTPStatus.NOT_FOUND, "no configuration is desired yet", headers={"ETag": etag(NO_VERSION)})
    response.headers["ETag"] = etag(row["version"])
    return _version(row)


@router.put("/v1/gateways/{gateway}/config", summary="Desire a configuration", responses=CHANGE_RESPONSES)
def write_config(  # one argument a part of the request
    gateway: GatewayId, body: ConfigRequest, caller: Operator, version: ExpectedVersion, tx: Tx, response: Response
) -> ConfigVersion:
    """A new version, which takes the place of those that the gateway has not answered.

    If-Match names the newest version (`"0"`: there is none). What is desired already makes no new version; what the
    gateway has refused is not desired again (409), for it remembers and would not try.
    """
    lock_gateway(tx, caller, gateway)
    newest = _newest(tx, caller, gateway)
    if version != (newest["version"] if newest else NO_VERSION):
        raise stale("configuration")
    if found := faults(body.config):
        raise InputError(found)
    # As the database gives it back to the worker: it spells some numbers in its own way.
    stored = tx.execute(queries.AS_STORED, {"config": Jsonb(body.config)}).fetchone()
    assert stored is not None
    sha256 = config_sha256(stored["config"])
    if newest is None or newest["sha256"] != sha256:
        following = {**place(caller, gateway), "version": version + 1}
        tx.execute(queries.SUPERSEDE_CONFIGS, following)
        tx.execute(
            queries.INSERT_CONFIG,
            {**following, "config": Jsonb(body.config), "sha256": sha256, "user_id": caller.user_id},
        )
        newest = _newest(tx, caller, gateway)
        assert newest is not None
    elif newest["state"] == ConfigState.REFUSED:
        raise ApiError(HTTPStatus.CONFLICT, f"the gateway refused this configuration: {newest['error']}"[:500])
    response.headers["ETag"] = etag(newest["version"])
    return _version(newest)


@router.get("/v1/gateways/{gateway}/configs", summary="List the versions of a configuration")
def list_configs(gateway: SeenGateway, caller: Caller, tx: Tx, page: Paging) -> Listing[ConfigVersion]:
    """Every version that was ever desired, with what the gateway said of it, the newest first."""
    last = page.after("configs", tuple[int])
    rows = tx.execute(
        queries.CONFIGS, {**place(caller, gateway), "after": last and last[0], "limit": page.limit + 1}
    ).fetchall()
    return page.listing("configs", rows, key=lambda row: (row["version"],), item=_version)


def _newest(tx: Connection, caller: Principal, gateway: str) -> Mapping[str, Any] | None:
    return tx.execute(queries.NEWEST_CONFIG, place(caller, gateway)).fetchone()


def _version(row: Mapping[str, Any]) -> ConfigVersion:
    same = "version config sha256 state error created_by created_at sent_at reported_at"
    return ConfigVersion(**{name: row[name] for name in same.split()})
