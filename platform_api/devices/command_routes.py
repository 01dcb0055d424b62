"""Commands of a gateway. The worker publishes them, the gateway's answers come in by the stream."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Path, Query, Response
from msgspec.json import encode
from psycopg.types.json import Jsonb

from platform_api.devices import remote_queries as queries
from platform_api.devices.parameters import GatewayId, Operator, SeenGateway, lock_gateway, place
from platform_api.devices.remote_models import Command, CommandRequest, CommandState
from platform_api.devices.rules import ARGS_MAX_BYTES, WAITING_MAX
from platform_api.kit.auth import Caller, Principal
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError, not_found, unprocessable
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router

router = Router(tags=["gateways"], responses={**COMMON_RESPONSES, **NOT_FOUND_RESPONSE})

TOO_MANY_RESPONSE: dict[int | str, dict[str, Any]] = {
    409: {**COMMON_RESPONSES[401], "description": f"{WAITING_MAX} commands of the gateway wait already"}
}
CommandId = Annotated[str, Path(min_length=1, max_length=64)]
States = Annotated[list[CommandState] | None, Query(description="Only these states", max_length=len(CommandState))]


@router.post(
    "/v1/gateways/{gateway}/commands",
    summary="Command a gateway",
    status_code=HTTPStatus.CREATED,
    responses=TOO_MANY_RESPONSE,
)
def create_command(gateway: GatewayId, body: CommandRequest, caller: Operator, tx: Tx, response: Response) -> Command:
    """Queue a command. The gateway acts on it once, or not at all when it hears of it after its expiry."""
    lock_gateway(tx, caller, gateway)
    size = len(encode(body.args))
    if size > ARGS_MAX_BYTES:
        raise unprocessable("body.args", f"{size} bytes are over {ARGS_MAX_BYTES}")
    waiting = tx.execute(queries.COUNT_WAITING, place(caller, gateway)).fetchone()
    if waiting is not None and waiting["n"] >= WAITING_MAX:
        raise ApiError(HTTPStatus.CONFLICT, f"{WAITING_MAX} commands of this gateway wait already")
    command_id, now = str(uuid4()), datetime.now(UTC)
    tx.execute(
        queries.INSERT_COMMAND,
        {
            **place(caller, gateway),
            "command_id": command_id,
            "kind": body.kind,
            "args": Jsonb(body.args),
            "user_id": caller.user_id,
            "now": now,
            "expires_at": now + timedelta(seconds=body.expires_in_s),
        },
    )
    response.headers["Location"] = f"/v1/gateways/{gateway}/commands/{command_id}"
    return _read(tx, caller, gateway, command_id)


@router.get("/v1/gateways/{gateway}/commands", summary="List a gateway's commands")
def list_commands(gateway: SeenGateway, caller: Caller, tx: Tx, page: Paging, state: States = None) -> Listing[Command]:
    """Commands and what became of them, the newest first."""
    created_at, command_id = page.after("commands", tuple[datetime, str]) or (None, None)
    rows = tx.execute(
        queries.COMMANDS,
        {
            **place(caller, gateway),
            "states": state,
            "after_at": created_at,
            "after_id": command_id,
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("commands", rows, key=lambda row: (row["created_at"], row["command_id"]), item=_command)


@router.get("/v1/gateways/{gateway}/commands/{command}", summary="Read a command")
def read_command(gateway: GatewayId, command: CommandId, caller: Caller, tx: Tx) -> Command:
    """One command and what became of it."""
    return _read(tx, caller, gateway, command)


def _read(tx: Connection, caller: Principal, gateway: str, command_id: str) -> Command:
    row = tx.execute(queries.COMMAND, {**place(caller, gateway), "command_id": command_id}).fetchone()
    if row is None:
        raise not_found("command")
    return _command(row)


def _command(row: Mapping[str, Any]) -> Command:
    same = "kind args state result error created_by created_at expires_at sent_at acked_at finished_at"
    return Command(id=row["command_id"], gateway=row["gateway_id"], **{name: row[name] for name in same.split()})
