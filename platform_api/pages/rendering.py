"""Renders templates: one Jinja2 environment a language."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from platform_api.pages.texts import LANGUAGES, negotiate, translations

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
LANGUAGE_COOKIE: Final = "sp_lang"
LANGUAGE_COOKIE_AGE_S: Final = 365 * 86_400


def locale_of(request: Request) -> str:
    """Locale of a request: its cookie's, else the best that the browser asks for."""
    return negotiate(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))


def render(
    template: str, locale: str, context: Mapping[str, object], *, status: HTTPStatus = HTTPStatus.OK
) -> HTMLResponse:
    """A page in a language."""
    text = _environment(locale).get_template(template).render(locale=locale, lang=LANGUAGES[locale], **context)
    return HTMLResponse(
        text, status, headers={"Content-Language": LANGUAGES[locale], "Vary": "Cookie, Accept-Language"}
    )


def switch(request: Request, language: str, back_to: str) -> RedirectResponse:
    """Remember the language that a person chose, and show the page in it."""
    response = RedirectResponse(back_to, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        LANGUAGE_COOKIE,
        language,
        max_age=LANGUAGE_COOKIE_AGE_S,
        secure=request.url.scheme == "https",
        samesite="lax",
        httponly=True,
    )
    return response


def data_block(value: object) -> Markup:
    """JSON that is safe inside a ``<script type="application/json">`` element."""
    text = msgspec.json.encode(value).decode()
    # The only ways out of a script element begin with <.
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))  # noqa: S704  # just escaped


def day(at: datetime) -> Markup:
    """The day of a time, which the page's script tells by the reader's clock; without one it is that of UTC."""
    return _time(at, "day", f"{at.astimezone(UTC):%Y-%m-%d}")


def minute(at: datetime) -> Markup:
    """A time to the minute, likewise."""
    return _time(at, "minute", f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")


def _time(at: datetime, shown: str, text: str) -> Markup:
    told = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return Markup('<time datetime="{}" data-shown="{}">{}</time>').format(told, shown, text)


def static_url(name: str) -> str:
    """Address of a static file; it changes with the file."""
    return f"/static/{name}?v={_fingerprint(name)}"


@cache
def _fingerprint(name: str) -> str:
    return sha256((STATIC / name).read_bytes()).hexdigest()[:12]


@cache
def _environment(locale: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(translations(locale), newstyle=True)  # type: ignore[attr-defined]  # added by the extension
    environment.globals["static"] = static_url
    environment.filters.update({"data": data_block, "day": day, "minute": minute})
    return environment
