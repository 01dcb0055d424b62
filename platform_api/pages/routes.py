"""The pages: /login, the live wall at /, its slot panel, and /docs."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.kit.auth import Caller, require_same_origin
from platform_api.kit.db import Tx
from platform_api.kit.errors import ApiError, not_found
from platform_api.kit.work import Router
from platform_api.live import service as live
from platform_api.live.hub import Hub
from platform_api.pages.chart import read_chart
from platform_api.pages.rendering import locale_of, render, switch
from platform_api.pages.texts import LANGUAGES, script_texts
from platform_api.tenancy import service as tenancy
from platform_api.tenancy.oidc import Client
from platform_api.tenancy.oidc_routes import FAULTS as OIDC_FAULTS
from platform_api.tenancy.routes import Secret, count_login
from platform_api.tenancy.sessions import HOME, login_url, own_page, set_cookies

open_router = Router(include_in_schema=False)
router = Router(include_in_schema=False)

Language = Annotated[str | None, Query(alias="lang", max_length=8)]
Fault = Annotated[str, Query(max_length=32)]
LoginField = Annotated[str, Form(max_length=200)]
WayField = Annotated[str, Form()]
Way = Annotated[str, Query()]
PasswordField = Annotated[str, Form(max_length=200)]
Identifier = Annotated[str, Path(pattern=IDENTIFIER_PATTERN)]


@open_router.get("/login")
def show_login(request: Request, language: Language = None, fault: Fault = "", to: Way = HOME) -> Response:
    """The form to log in, or why a log-in by a provider of identities has failed."""
    if language in LANGUAGES:
        return switch(request, language, login_url(to))
    return _login_form(request, fault=fault if fault in OIDC_FAULTS else "", to=to)


@open_router.post("/login")
def log_in(  # the fields of a form
    request: Request,
    tx: Tx,
    secret: Secret,
    login: LoginField = "",
    password: PasswordField = "",
    to: WayField = HOME,
) -> Response:
    """Check login and password, give the browser a session, and go on to where the person wanted to go."""
    require_same_origin(request)
    try:
        count_login(request, login)
    except ApiError as error:
        return _login_form(request, login=login, fault="throttled", to=to, status=error.status)
    user_id = tenancy.check_password(tx, login, password)
    if user_id is None:
        return _login_form(request, login=login, fault="wrong", to=to, status=HTTPStatus.UNAUTHORIZED)
    session = tenancy.open_session(tx, user_id, secret=secret, now=datetime.now(UTC))
    response = RedirectResponse(own_page(to), HTTPStatus.SEE_OTHER)
    set_cookies(request, response, session)
    return response


@router.get("/")
def show_wall(request: Request, caller: Caller, tx: Tx, language: Language = None) -> Response:
    """The live page, with its first state and its first chart inside."""
    if language in LANGUAGES:
        return switch(request, language, "/")
    locale = locale_of(request)
    hub = cast("Hub", request.app.state.hub)
    wall = live.read_wall(tx, caller, readings_per_s=hub.readings_per_s(caller.tenant_id))
    slot = live.first_slot(tx, caller.scope)
    context = {
        "caller": caller,
        "wall": wall.model_dump(mode="json"),
        "texts": script_texts(locale),
        "slot": slot,
        "chart": None if slot is None else read_chart(tx, caller.scope, slot, datetime.now(UTC)),
    }
    return render("wall.html", locale, context)


@router.get("/wall/slots/{gateway}/{slot}")
def show_slot(request: Request, gateway: Identifier, slot: Identifier, caller: Caller, tx: Tx) -> HTMLResponse:
    """The panel of one slot: its numbers and its chart's data."""
    found = live.find_slot(tx, caller.scope, gateway, slot)
    if found is None:
        raise not_found("slot")
    chart = read_chart(tx, caller.scope, found, datetime.now(UTC))
    return render("slot.html", locale_of(request), {"slot": found, "chart": chart})


@router.get("/docs")
def show_docs(request: Request, caller: Caller) -> HTMLResponse:
    """The API's reference, to try out with the page's own session."""
    return render("docs.html", locale_of(request), {"caller": caller})


@router.get("/openapi.json")
def read_openapi(request: Request) -> JSONResponse:
    """The OpenAPI 3.1 document."""
    return JSONResponse(request.app.openapi())


def _login_form(
    request: Request, *, login: str = "", fault: str = "", to: str = HOME, status: HTTPStatus = HTTPStatus.OK
) -> HTMLResponse:
    oidc = cast("Client | None", request.app.state.oidc)
    provider = "" if oidc is None else oidc.provider.name
    context = {"login": login[:64], "fault": fault, "provider": provider, "to": own_page(to)}
    return render("login.html", locale_of(request), context, status=status)
