"""Security headers of every response, written by a plain ASGI wrapper (streams pass untouched)."""

from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# style-src without 'unsafe-inline': pages set styles through the CSSOM, which the policy allows.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HSTS: Final = "max-age=31536000"


def _encoded(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Headers as ASGI has them."""
    return {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in headers.items()}


_ALWAYS: Final = _encoded({**SECURITY_HEADERS, "Cache-Control": "no-store"})
_HTTPS: Final = _encoded({"Strict-Transport-Security": HSTS})


class SecurityHeaders:
    """ASGI middleware that adds SECURITY_HEADERS, and no-store wherever a route has not said how to cache.

    ``https``: browsers come by HTTPS alone, whatever the last proxy speaks; cookies are secure, and HSTS is told.
    """

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, adding headers to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._https:
            scope["scheme"] = "https"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Left by whoever counted the request (kit/auth.py); IETF draft "RateLimit header fields for HTTP".
                counted = scope.get("state", {}).get("rate_limit", {})
                added = _ALWAYS | _encoded(counted) | (_HTTPS if scope.get("scheme") == "https" else {})
                told = list(message.get("headers", ()))
                for name, _ in told:
                    added.pop(name.lower(), None)
                message["headers"] = [*told, *added.items()]
            await send(message)

        await self._app(scope, receive, send_with_headers)
