"""The page of stock at /stock."""

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.work import Router
from platform_api.pages.desk_routes import Cursor, Language, shown_to
from platform_api.pages.rendering import locale_of, render, switch
from platform_api.pages.stock import read_stock
from platform_api.pages.texts import LANGUAGES

router = Router(include_in_schema=False)

Filter = Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")]


@router.get("/stock")
def show_stock(  # noqa: PLR0913, PLR0917  # what a list is filtered by
    request: Request,
    caller: Caller,
    tx: Tx,
    language: Language = None,
    place: Filter = "",
    kind: Filter = "",
    stock: Cursor = None,
) -> Response:
    """What lies where by the books, what is on hold, and what the caller may do about it."""
    if language in LANGUAGES:
        return switch(request, language, "/stock")
    locale = locale_of(request)
    return render("stock.html", locale, {**shown_to(caller, locale), **read_stock(tx, caller, place, kind, stock)})
