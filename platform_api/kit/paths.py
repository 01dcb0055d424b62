"""What stands in a path: a name never holds a colon, and a 405 says all that a path answers.

``/v1/orders/{order_id}:cancel`` is an action, not the order ``7:cancel``: without this rule ``GET`` of it would be
answered by the route that reads an order.
"""

from fastapi import Request
from fastapi.routing import iter_route_contexts
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import compile_path


class NameConvertor(Convertor[str]):
    """A part of a path, up to the next ``/`` or ``:``."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        """The text itself."""
        return value

    def to_string(self, value: str) -> str:
        """The text itself."""
        assert value
        assert not set("/:") & set(value)
        return value


def install() -> None:
    """Let ``{name}`` in every path that is declared from here on match a name."""
    register_url_convertor("str", NameConvertor())


def allowed_methods(request: Request) -> str:
    """All methods that some route answers at the request's path, for the header Allow (RFC 9110, section 10.2.1)."""
    methods: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        if context.path is not None and compile_path(context.path)[0].match(request.scope["path"]):
            methods |= set(context.methods or ())
    return ", ".join(sorted(methods))
