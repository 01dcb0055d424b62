"""Parameters that the routes of gateways share."""

from typing import Annotated

from fastapi import Depends, Path

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.devices import remote_queries as queries
from platform_api.kit.auth import Caller, Principal, Role, require
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import not_found

GatewayId = Annotated[str, Path(pattern=IDENTIFIER_PATTERN, max_length=32, description="The gateway's id")]
Operator = Annotated[Principal, Depends(require(Role.HQ, Role.OPS))]
"""Whoever may let gateways in, take them out, and tell them what to do."""


def place(caller: Principal, gateway: str) -> dict[str, object]:
    """Parameters that name a gateway within the caller's scope."""
    return {**caller.scope, "gateway": gateway}


async def seen_gateway(gateway: GatewayId, caller: Caller, tx: Tx) -> str:
    """The gateway of the path. Raises ApiError (404) when the caller sees none by that name."""
    if tx.execute(queries.GATEWAY_EXISTS, place(caller, gateway)).fetchone() is None:
        raise not_found("gateway")
    return gateway


def lock_gateway(tx: Connection, caller: Principal, gateway: str) -> None:
    """Hold the gateway until the end of the request. Raises ApiError (404)."""
    if tx.execute(queries.LOCK_GATEWAY, place(caller, gateway)).fetchone() is None:
        raise not_found("gateway")


SeenGateway = Annotated[str, Depends(seen_gateway)]
