"""Every error leaves as RFC 9457 problem+json, made in this one place."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import urlencode

import psycopg
import psycopg_pool
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from platform_api.kit.paths import allowed_methods

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2

_log = structlog.get_logger(__name__)


class FieldProblem(BaseModel):
    """One thing that is wrong with the input."""

    where: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no such anomaly"},
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    errors: list[FieldProblem] = []


class ApiError(Exception):
    """An answer other than success, raised by a route or a dependency; rolls the transaction back."""

    def __init__(self, status: HTTPStatus, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def not_found(what: str) -> ApiError:
    """404: there is none, or it is another tenant's; the two look the same."""
    return ApiError(HTTPStatus.NOT_FOUND, f"no such {what}")


def unauthenticated(detail: str) -> ApiError:
    """401 with the challenge that RFC 9110 asks for."""
    return ApiError(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="shelfpulse"'})


def unprocessable(where: str, message: str) -> "InputError":
    """422 for one field."""
    return InputError([FieldProblem(where=where, message=message)])


class InputError(Exception):
    """422: what was sent is not what the route takes."""

    def __init__(self, problems: list[FieldProblem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def problem(
    status: HTTPStatus,
    detail: str = "",
    *,
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem+json response."""
    body = Problem(title=status.phrase, status=status, detail=detail, errors=errors or [])
    return JSONResponse(
        body.model_dump(exclude_defaults=False, exclude=None if errors else {"errors"}),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


COMMON_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status.value: {
        "model": Problem,
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in (
        (HTTPStatus.UNAUTHORIZED, "No valid credentials"),
        (HTTPStatus.FORBIDDEN, "The role does not allow it"),
        (HTTPStatus.UNPROCESSABLE_ENTITY, "The input is not valid"),
        (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "The database cannot be reached or is overloaded"),
    )
}
NOT_FOUND_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    404: {**COMMON_RESPONSES[401], "description": "No such resource in this tenant"}
}
CHANGE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    **NOT_FOUND_RESPONSE,
    409: {**COMMON_RESPONSES[401], "description": "Its state does not allow the action"},
    412: {**COMMON_RESPONSES[401], "description": "It has changed since; read it again"},
    428: {**COMMON_RESPONSES[401], "description": "If-Match is missing"},
}


ShowFault = Callable[[Request, HTTPStatus], Response]


def install(app: FastAPI, show_fault: ShowFault) -> None:
    """Register the handlers. ``show_fault`` makes a page of a failure for who came with a browser."""
    app.state.show_fault = show_fault

    @app.exception_handler(ApiError)
    async def on_api_error(request: Request, error: ApiError) -> Response:
        if error.status == HTTPStatus.UNAUTHORIZED and _is_navigation(request):
            # Back to where the person was going, with the session renewed or after a log-in.
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            way = "" if asked == "/" else f"?{urlencode({'to': asked})}"
            return RedirectResponse(f"/session/resume{way}", HTTPStatus.SEE_OTHER)
        return _answer(request, error.status, error.detail, headers=error.headers)

    @app.exception_handler(InputError)
    async def on_input_error(request: Request, error: InputError) -> Response:
        return _answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, "the input is not valid", errors=error.problems)

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(request: Request, error: RequestValidationError) -> Response:
        # Never the input itself: it may be a password.
        found = [
            FieldProblem(where=".".join(str(part) for part in item["loc"])[:200], message=str(item["msg"])[:300])
            for item in error.errors()[:50]
        ]
        return _answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, "the input is not valid", errors=found)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        detail = str(error.detail)
        headers = dict(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            # The framework names those of the first route at the path alone.
            headers["Allow"] = allowed_methods(request)
        return _answer(request, status, "" if detail == status.phrase else detail, headers=headers)

    @app.exception_handler(psycopg.DataError)
    async def on_data_error(_: Request, error: psycopg.DataError) -> Response:
        _log.info("value_refused", error=type(error).__name__)
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the database cannot hold a value of the request")

    @app.exception_handler(psycopg_pool.PoolTimeout)
    @app.exception_handler(psycopg_pool.TooManyRequests)
    @app.exception_handler(psycopg.OperationalError)
    @app.exception_handler(psycopg.errors.IdleInTransactionSessionTimeout)
    async def on_unavailable(request: Request, error: Exception) -> Response:
        _log.warning("database_unavailable", error=type(error).__name__, detail=str(error)[:200])
        return _answer(
            request,
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the database cannot be reached or is overloaded; try again",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )

    @app.exception_handler(Exception)
    async def on_defect(request: Request, _: Exception) -> Response:
        # The server logs the traceback; the client learns nothing of our insides.
        return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; it has been logged")


def _answer(
    request: Request,
    status: HTTPStatus,
    detail: str,
    *,
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A page for who came with a browser, else a problem."""
    if not _is_navigation(request):
        return problem(status, detail, errors=errors, headers=headers)
    page = cast("ShowFault", request.app.state.show_fault)(request, status)
    page.headers.update(headers or {})
    return page


def _is_navigation(request: Request) -> bool:
    accepts = request.headers.get("accept", "")
    return request.method == "GET" and "text/html" in accepts and not request.url.path.startswith("/v1/")
