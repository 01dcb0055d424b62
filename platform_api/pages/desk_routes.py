"""The pages of daily work: the desk at /desk, and an order with the explanation of its money at /orders/{order_id}."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from platform_api.flows.order_routes import actor_of
from platform_api.kit.auth import Caller, Role
from platform_api.kit.db import Tx
from platform_api.logistics import queries as logistics
from platform_api.orders.rules import State
from platform_api.orders.service import read_order
from platform_api.pages import queries
from platform_api.pages.desk import read_desk
from platform_api.pages.rendering import locale_of, render, switch
from platform_api.pages.states import STATE_TEXTS
from platform_api.pages.texts import LANGUAGES, script_texts

router = APIRouter(include_in_schema=False)

Language = Annotated[str | None, Query(alias="lang", max_length=8)]
BUYERS: Final = frozenset({Role.HQ, Role.OPS, Role.DEALER, Role.REP, Role.STORE})
APPROVERS: Final = frozenset({Role.HQ, Role.OPS})


@router.get("/desk")
def show_desk(request: Request, caller: Caller, tx: Tx, language: Language = None) -> Response:
    """What the caller has to do and to know today."""
    if language in LANGUAGES:
        return switch(language, "/desk")
    locale = locale_of(request)
    context = {"caller": caller, "states": STATE_TEXTS, "texts": script_texts(locale), **read_desk(tx, caller)}
    return render("desk.html", locale, context)


@router.get("/orders/{order_id}")
def show_order(order_id: UUID, request: Request, caller: Caller, tx: Tx, language: Language = None) -> Response:
    """One order: its lines with the explanation of each price, its history and its shipments."""
    if language in LANGUAGES:
        return switch(language, f"/orders/{order_id}")
    locale = locale_of(request)
    order = read_order(tx, actor_of(caller), order_id)
    named = {"tenant_id": caller.tenant_id, "skus": [line.sku for line in order.lines]}
    names = {
        row["sku"]: (row["name_zh"] if locale == "zh" else row["name_en"]) or row["sku"]
        for row in tx.execute(queries.SKU_NAMES, named)
    }
    wanted = {**caller.org_scope, "order_id": order_id, "after": None, "limit": 50}
    context = {
        "caller": caller,
        "order": order,
        "names": names,
        "shipments": tx.execute(logistics.SHIPMENTS, wanted).fetchall(),
        "states": STATE_TEXTS,
        "texts": script_texts(locale),
        "may_submit": caller.role in BUYERS and order.state is State.DRAFT,
        "may_approve": caller.role in APPROVERS and order.state is State.SUBMITTED,
    }
    return render("order.html", locale, context)
