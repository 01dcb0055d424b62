"""The FastAPI application: what is open, what needs a credential, and what lives as long as the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, Depends, FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from platform_api import health
from platform_api.anomalies.routes import router as anomalies_router
from platform_api.catalogue.image_routes import router as images_router
from platform_api.catalogue.list_routes import router as price_lists_router
from platform_api.catalogue.routes import router as catalogue_router
from platform_api.demand.routes import router as demand_router
from platform_api.devices.claim_routes import open_router as redeem_router
from platform_api.devices.claim_routes import router as claims_router
from platform_api.devices.command_routes import router as commands_router
from platform_api.devices.config_routes import router as configs_router
from platform_api.devices.routes import router as devices_router
from platform_api.document import Documented
from platform_api.exports.routes import router as exports_router
from platform_api.finance.routes import router as finance_router
from platform_api.flows.import_routes import router as imports_router
from platform_api.flows.order_routes import router as orders_router
from platform_api.flows.return_routes import router as returns_router
from platform_api.flows.shipping_routes import router as shipping_router
from platform_api.inventory.routes import router as inventory_router
from platform_api.kit import db, errors
from platform_api.kit.auth import BEARER, COOKIE, principal
from platform_api.kit.bodies import BodyLimit
from platform_api.kit.headers import SecurityHeaders
from platform_api.kit.heads import Heads
from platform_api.kit.limits import Limits
from platform_api.kit.metrics import RequestMetrics
from platform_api.live.hub import Hub
from platform_api.live.listener import listen
from platform_api.live.reader import reader
from platform_api.live.routes import router as live_router
from platform_api.logistics.routes import open_router as carriers_open_router
from platform_api.logistics.routes import router as logistics_router
from platform_api.pages import routes as page_routes
from platform_api.pages.desk_routes import router as desk_router
from platform_api.pages.faults import show_fault
from platform_api.pages.rendering import STATIC
from platform_api.pages.stock_routes import router as stock_page_router
from platform_api.pages.transfer_routes import router as transfer_pages_router
from platform_api.replenishment.lane_routes import router as lanes_router
from platform_api.replenishment.policy_routes import router as policies_router
from platform_api.replenishment.refill_routes import router as refills_router
from platform_api.replenishment.routes import router as replenishment_router
from platform_api.sales.routes import router as sales_router
from platform_api.settings import Settings
from platform_api.stock.count_routes import router as counts_router
from platform_api.stock.hold_routes import router as holds_router
from platform_api.stock.move_routes import router as moves_router
from platform_api.stock.routes import router as stock_router
from platform_api.stock.source_routes import router as sources_router
from platform_api.stock.transfer_routes import router as transfers_router
from platform_api.telemetry.routes import router as telemetry_router
from platform_api.tenancy import routes as tenancy_routes
from platform_api.tenancy.admin_routes import router as administration_router
from platform_api.tenancy.oidc import Client
from platform_api.tenancy.oidc_routes import router as oidc_router
from platform_api.tenancy.service import identify_with
from platform_api.webhooks.routes import router as webhooks_router
from platform_api.webhooks.told import router as told_router

TAGS: Final = [
    {"name": "live", "description": "What changes, as it happens"},
    {"name": "telemetry", "description": "What was measured, and what was lost on the way"},
    {"name": "inventory", "description": "What lies on the shelves, and what happened there"},
    {"name": "anomalies", "description": "What seems wrong, with its evidence"},
    {"name": "replenishment", "description": "Suggested refills"},
    {"name": "sales", "description": "What the tills sold"},
    {"name": "demand", "description": "What will be asked for, and how good forecasts were"},
    {"name": "devices", "description": "Sites, gateways, devices and their series"},
    {
        "name": "gateways",
        "description": "How gateways are let in and taken out, and what they are told to do and to be",
    },
    {"name": "catalogue", "description": "What is sold, in which packs, to whom, and for how much"},
    {
        "name": "stock",
        "description": "What is where by the books, what moves it, and where shelves show something else",
    },
    {"name": "orders", "description": "From a cart to units that are held for it"},
    {"name": "logistics", "description": "What left, where it is, and who signed for it"},
    {"name": "finance", "description": "What dealers owe, and may still order"},
    {"name": "files", "description": "What there is as files, and files that become what there is"},
    {"name": "webhooks", "description": "What other systems are told as it happens"},
    {"name": "tenancy", "description": "Who asks, who may, and who changed what"},
    {"name": "health", "description": "For orchestrators"},
]
DESCRIPTION: Final = """
See what leaves the shelf, and refill it before it is empty.

Lists are paged: `{"items": […], "next": cursor or null}`, with the same cursor in the `Link` header. Errors are
RFC 9457 problem details. What changes a thing needs `If-Match` with the ETag that was last seen; what creates one needs
an `Idempotency-Key`, and is answered as before when the key comes again. Times are RFC 3339 UTC; money is
`{"amount": "12.30", "currency": "CNY"}`.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application on the database of ``settings``; nothing is connected before its lifespan begins."""
    dsn = settings.dsn.get_secret_value()
    secret = settings.secret.get_secret_value()
    pool = db.make_pool(dsn, settings.pool_max)
    hub_pool = db.make_pool(dsn, HUB_POOL_MAX)
    provider = settings.provider()
    oidc = None if provider is None else Client(provider)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.hub = Hub(reader(hub_pool))
        tasks = [asyncio.create_task(app.state.hub.run()), asyncio.create_task(listen(dsn, app.state.hub))]
        # Not waited for: the API answers 503 until the database is there, rather than refusing to start.
        app.state.turns = db.Turns(settings.pool_max)
        pool.open(wait=False)
        hub_pool.open(wait=False)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await asyncio.to_thread(pool.close)
            await asyncio.to_thread(hub_pool.close)
            if oidc is not None:
                oidc.close()

    app = Documented(
        title="ShelfPulse",
        version=version("shelfpulse"),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        # /docs and /openapi.json are pages of ours: they need a session, and load nothing from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        webhooks=told_router,
    )
    app.state.pool = pool
    app.state.secret = secret
    app.state.identify = identify_with(secret)
    app.state.limits = Limits()
    app.state.oidc = oidc
    app.state.provisioning = settings.provisioning()
    app.state.webhook_reach = settings.webhook_reach
    errors.install(app, show_fault)
    _mount(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders, https=settings.public_url.startswith("https:"))
    app.add_middleware(RequestMetrics)
    return app


HUB_POOL_MAX: Final = 4
"""Connections of the hub, apart from those of requests: a flood of requests must not stop the wall."""


def _mount(app: FastAPI) -> None:
    # FastAPI works a route out at its first request, anew for each inclusion: a second for all of ours.
    routes = _routes().routes
    # What no head fits is for the routes themselves: a slash too many, a method too few, nothing at all.
    app.router.routes.extend([Heads(routes), *routes])
    app.mount("/static", _Static(directory=STATIC), name="static")


@cache
def _routes() -> APIRouter:
    """All routes, the same for each application of a process: what differs they find in ``request.app.state``."""
    routes = APIRouter()
    routes.include_router(health.router)
    routes.include_router(tenancy_routes.open_router)
    routes.include_router(oidc_router)
    routes.include_router(redeem_router)
    routes.include_router(carriers_open_router)
    routes.include_router(page_routes.open_router)
    # Everything else asks for a credential here, once, so that no route can forget to.
    guarded = [Depends(BEARER), Depends(COOKIE), Depends(principal)]
    for router in (
        live_router,
        telemetry_router,
        inventory_router,
        anomalies_router,
        replenishment_router,
        policies_router,
        lanes_router,
        refills_router,
        sales_router,
        demand_router,
        devices_router,
        claims_router,
        commands_router,
        configs_router,
        catalogue_router,
        images_router,
        price_lists_router,
        stock_router,
        moves_router,
        counts_router,
        sources_router,
        transfers_router,
        holds_router,
        finance_router,
        orders_router,
        logistics_router,
        shipping_router,
        returns_router,
        tenancy_routes.router,
        administration_router,
        webhooks_router,
        imports_router,
        exports_router,
        page_routes.router,
        desk_router,
        transfer_pages_router,
        stock_page_router,
    ):
        routes.include_router(router, dependencies=guarded)
    return routes


class _Static(StaticFiles):
    """Static files that a browser keeps but asks about: script modules import each other without a fingerprint."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.setdefault("Cache-Control", "no-cache")
        return response
