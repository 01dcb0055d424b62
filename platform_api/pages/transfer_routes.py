"""The pages of transfers: all of them at /transfers, and one at /transfers/{transfer_id}."""

from uuid import UUID

from fastapi import Request
from fastapi.responses import Response

from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.work import Router
from platform_api.pages.desk_routes import Cursor, Language, shown_to
from platform_api.pages.rendering import locale_of, render, switch
from platform_api.pages.texts import LANGUAGES
from platform_api.pages.transfers import read_transfer, read_transfers

router = Router(include_in_schema=False)


@router.get("/transfers")
def show_transfers(
    request: Request, caller: Caller, tx: Tx, language: Language = None, transfers: Cursor = None
) -> Response:
    """What places have asked each other for, the newest first, and a form to ask."""
    if language in LANGUAGES:
        return switch(request, language, "/transfers")
    locale = locale_of(request)
    context = {**shown_to(caller, locale), **read_transfers(tx, caller, transfers)}
    return render("transfers.html", locale, context)


@router.get("/transfers/{transfer_id}")
def show_transfer(transfer_id: UUID, request: Request, caller: Caller, tx: Tx, language: Language = None) -> Response:
    """One transfer: how far its goods are, and what the caller may do about it."""
    if language in LANGUAGES:
        return switch(request, language, f"/transfers/{transfer_id}")
    locale = locale_of(request)
    context = {**shown_to(caller, locale), **read_transfer(tx, caller, transfer_id, locale)}
    return render("transfer.html", locale, context)
