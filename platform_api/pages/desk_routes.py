"""The pages of daily work: the desk at /desk, and an order with the explanation of its money at /orders/{order_id}."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import Response

from platform_api.flows.order_routes import actor_of
from platform_api.kit.auth import Caller, Principal
from platform_api.kit.db import Tx
from platform_api.kit.paging import CURSOR_MAX_CHARS
from platform_api.kit.work import Router
from platform_api.pages.desk import read_desk
from platform_api.pages.order import read_page
from platform_api.pages.rendering import locale_of, render, switch
from platform_api.pages.states import STATE_TEXTS
from platform_api.pages.texts import LANGUAGES, script_texts

router = Router(include_in_schema=False)

Language = Annotated[str | None, Query(alias="lang", max_length=8)]
Cursor = Annotated[str | None, Query(max_length=CURSOR_MAX_CHARS)]


@router.get("/desk")
def show_desk(  # noqa: PLR0913, PLR0917  # a cursor for each list
    request: Request,
    caller: Caller,
    tx: Tx,
    language: Language = None,
    proposals: Cursor = None,
    orders: Cursor = None,
    refills: Cursor = None,
    returns: Cursor = None,
    entries: Cursor = None,
) -> Response:
    """What the caller has to do and to know today; each list goes on where its cursor says."""
    if language in LANGUAGES:
        return switch(request, language, "/desk")
    locale = locale_of(request)
    cursors = {"proposals": proposals, "orders": orders, "refills": refills, "returns": returns, "entries": entries}
    return render("desk.html", locale, {**shown_to(caller, locale), **read_desk(tx, caller, cursors)})


@router.get("/orders/{order_id}")
def show_order(order_id: UUID, request: Request, caller: Caller, tx: Tx, language: Language = None) -> Response:
    """One order: its lines with the explanation of each price, its history and its shipments."""
    if language in LANGUAGES:
        return switch(request, language, f"/orders/{order_id}")
    locale = locale_of(request)
    context = {**shown_to(caller, locale), **read_page(tx, caller, actor_of(caller), order_id, locale)}
    return render("order.html", locale, context)


def shown_to(caller: Principal, locale: str) -> dict[str, object]:
    """What each page of daily work is given."""
    return {"caller": caller, "states": STATE_TEXTS, "texts": script_texts(locale)}
