"""Finds a route by how its path begins: the framework would try hundreds of patterns, one after the other."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

_FOUND: Final = "shelfpulse.route"


class Heads(BaseRoute):
    """Stands before ``routes`` and answers for those that fit; what fits none of them it leaves to what follows."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes: defaultdict[str, list[BaseRoute]] = defaultdict(list)
        for route in routes:
            for head in sorted({head_of(context.path) for context in iter_route_contexts([route]) if context.path}):
                self._routes[head].append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The first route, in their order, that takes path and method."""
        for route in self._routes.get(head_of(scope["path"]), ()):
            match, found = route.matches(scope)
            if match is Match.FULL:
                return match, {**found, _FOUND: route}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the route that was found answer."""
        await scope[_FOUND].handle(scope, receive, send)


def head_of(path: str) -> str:
    """What a path has in common with its pattern: the first part, of the API the noun after the version.

    ``/v1/orders`` of ``/v1/orders/7:cancel``, ``/wall`` of ``/wall/slots/…``. Names stand behind it, never in it.
    """
    parts = path.split("/", 3)
    length = 3 if len(parts) > 2 and parts[1] == "v1" else 2  # noqa: PLR2004  # before the first slash lies nothing
    return "/".join(parts[:length]).partition(":")[0]
