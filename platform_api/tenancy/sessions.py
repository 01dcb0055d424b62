"""The cookies of a page's session."""

import re
from typing import Final
from urllib.parse import urlencode

from fastapi import Request, Response

from platform_api.kit.auth import ACCESS_COOKIE
from platform_api.tenancy.service import Session

REFRESH_COOKIE: Final = "sp_refresh"
REFRESH_PATH: Final = "/session"
HOME: Final = "/"
_OWN_PAGE = re.compile(r"/(?![/\\])[^\x00-\x20\\]{0,500}")


def set_cookies(request: Request, response: Response, session: Session) -> None:
    """Give a session to the browser: out of reach of scripts, and the refresh token only to /session."""
    secure = request.url.scheme == "https"
    response.set_cookie(
        ACCESS_COOKIE,
        session.access,
        expires=session.access_expires_at,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )
    response.set_cookie(
        REFRESH_COOKIE,
        session.refresh,
        expires=session.refresh_expires_at,
        path=REFRESH_PATH,
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def own_page(to: str) -> str:
    """Where a person wanted to go when it is a page of ours, else the first page: never another host."""
    is_page = _OWN_PAGE.fullmatch(to) and not to.startswith((REFRESH_PATH, "/login"))
    return to if is_page else HOME


def login_url(to: str) -> str:
    """The log-in page that leads on to a page of ours."""
    way = own_page(to)
    return "/login" if way == HOME else f"/login?{urlencode({'to': way})}"


def drop_cookies(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(ACCESS_COOKIE, path="/")
    response.delete_cookie(REFRESH_COOKIE, path=REFRESH_PATH)
