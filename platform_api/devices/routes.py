"""GET /v1/sites, /v1/gateways, /v1/gateways/{id}, /v1/devices, /v1/series."""

from collections.abc import Mapping
from typing import Any

from contracts.metrics import unit_for
from platform_api.devices import queries
from platform_api.devices.models import (
    ChannelSetting,
    Device,
    Gateway,
    GatewayConfig,
    GatewayCredential,
    GatewayState,
    Latest,
    Series,
    Site,
)
from platform_api.devices.parameters import GatewayId, place
from platform_api.devices.rules import credential_state
from platform_api.kit.auth import Caller, Principal
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found
from platform_api.kit.filters import ChannelName, Name
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router

router = Router(tags=["devices"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]


@router.get("/v1/sites", summary="List sites")
def list_sites(caller: Caller, tx: Tx, page: Paging) -> Listing[Site]:
    """Stores and warehouses, by id."""
    last = page.after("sites", tuple[str])
    rows = tx.execute(queries.SITES, {**caller.scope, "after": last and last[0], "limit": page.limit + 1}).fetchall()
    return page.listing("sites", rows, key=lambda row: (row["site_id"],), item=_site)


@router.get("/v1/gateways", summary="List gateways")
def list_gateways(caller: Caller, tx: Tx, page: Paging, site: Name = None) -> Listing[Gateway]:
    """Edge agents with their presence, outbox, credential and configuration, by id."""
    last = page.after("gateways", tuple[str])
    rows = tx.execute(
        queries.GATEWAYS, {**caller.scope, "site": site, "after": last and last[0], "limit": page.limit + 1}
    ).fetchall()
    return page.listing("gateways", rows, key=lambda row: (row["gateway_id"],), item=_gateway)


@router.get("/v1/gateways/{gateway}", summary="Read a gateway", responses=NOT_FOUND_RESPONSE)
def read_gateway(gateway: GatewayId, caller: Caller, tx: Tx) -> Gateway:
    """One edge agent with its presence, outbox, credential and configuration."""
    return gateway_of(tx, caller, gateway)


def gateway_of(tx: Connection, caller: Principal, gateway: str) -> Gateway:
    """The gateway as the caller sees it. Raises ApiError (404)."""
    row = tx.execute(queries.GATEWAY, place(caller, gateway)).fetchone()
    if row is None:
        raise not_found("gateway")
    return _gateway(row)


@router.get("/v1/devices", summary="List devices")
def list_devices(caller: Caller, tx: Tx, page: Paging, site: Name = None, gateway: Name = None) -> Listing[Device]:
    """Registered devices with when each was last seen, by gateway and id."""
    gateway_id, device_id = page.after("devices", tuple[str, str]) or (None, None)
    rows = tx.execute(
        queries.DEVICES,
        {
            **caller.scope,
            "site": site,
            "gateway": gateway,
            "after_gateway": gateway_id,
            "after_device": device_id,
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("devices", rows, key=lambda row: (row["gateway_id"], row["device_id"]), item=_device)


@router.get("/v1/channel-settings", summary="List what detectors are told of channels")
def list_channel_settings(
    caller: Caller, tx: Tx, page: Paging, site: Name = None, gateway: Name = None
) -> Listing[ChannelSetting]:
    """Classes, intervals and limits, by gateway and channel. They come by `POST /v1/imports?kind=channel-settings`."""
    last = page.after("channel-settings", tuple[str, str]) or (None, None)
    rows = tx.execute(
        queries.CHANNEL_SETTINGS,
        {
            **caller.scope,
            "site": site,
            "gateway": gateway,
            "after_gateway": last[0],
            "after_channel": last[1],
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing(
        "channel-settings",
        rows,
        key=lambda row: (row["gateway"], row["channel"]),
        item=lambda row: ChannelSetting(**row),
    )


@router.get("/v1/series", summary="List series with their latest value")
def list_series(
    caller: Caller, tx: Tx, page: Paging, site: Name = None, gateway: Name = None, channel: ChannelName = None
) -> Listing[Series]:
    """Channels that have sent readings, each with its newest good one, by id."""
    last = page.after("series", tuple[int])
    rows = tx.execute(
        queries.SERIES,
        {
            **caller.scope,
            "site": site,
            "gateway": gateway,
            "channel": channel,
            "after": last and last[0],
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("series", rows, key=lambda row: (row["series_id"],), item=_series)


def _site(row: Row) -> Site:
    return Site(
        id=row["site_id"],
        org=row["org_id"],
        **_same(row, "kind name city lat lon timezone"),
        gateways=row["gateways"],
        gateways_online=row["gateways_online"],
    )


def _gateway(row: Row) -> Gateway:
    return Gateway(
        id=row["gateway_id"],
        site=row["site_id"],
        state=GatewayState(row["state"] or GatewayState.UNKNOWN),
        agent=row["agent"] or "",
        credential=GatewayCredential(
            state=credential_state(
                revoked=row["revoked_at"] is not None,
                issued=row["issued"],
                live=row["live"],
                invited=row["invited_until"] is not None,
            ),
            **_same(row, "issued_at invited_until"),
        ),
        config=GatewayConfig(
            desired=row["config_desired"],
            applied=row["config_applied"],
            state=row["config_state"],
            error=row["config_error"] or "",
        ),
        **_same(row, "name since outbox_frames outbox_oldest_s committed_at revoked_at"),
    )


def _device(row: Row) -> Device:
    return Device(
        id=row["device_id"], gateway=row["gateway_id"], site=row["site_id"], **_same(row, "profile name seen_at")
    )


def _series(row: Row) -> Series:
    latest = None
    if row["latest_time"] is not None:
        latest = Latest(time=row["latest_time"], value=row["latest_value"], quality=row["latest_quality"])
    return Series(
        id=row["series_id"],
        site=row["site_id"],
        gateway=row["gateway_id"],
        unit=unit_for(row["channel"]),
        latest=latest,
        **_same(row, "channel interval_s limit_c limit_s"),
    )


def _same(row: Row, names: str) -> dict[str, Any]:
    return {name: row[name] for name in names.split()}
