"""The cookies of a page's session."""

from typing import Final

from fastapi import Request, Response

from platform_api.kit.auth import ACCESS_COOKIE
from platform_api.tenancy.service import Session

REFRESH_COOKIE: Final = "sp_refresh"
REFRESH_PATH: Final = "/session"


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


def drop_cookies(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(ACCESS_COOKIE, path="/")
    response.delete_cookie(REFRESH_COOKIE, path=REFRESH_PATH)
