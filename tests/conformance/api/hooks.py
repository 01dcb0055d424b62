"""Loaded by Schemathesis: what it cannot find out from the OpenAPI document."""

import re
from typing import Any
from uuid import uuid4

import schemathesis

from platform_api.kit.idempotency import KEY_PATTERN


@schemathesis.hook
def before_load_schema(_: Any, document: dict[str, Any]) -> None:
    """Leave cursors out: they are opaque, so that no schema tells one of ours (tests/unit/api/test_cursors.py)."""
    for path in document["paths"].values():
        for operation in path.values():
            operation["parameters"] = [one for one in operation.get("parameters", []) if one["name"] != "cursor"]


@schemathesis.hook
def before_call(_: Any, case: schemathesis.Case[Any], __: dict[str, Any]) -> None:
    """Give each request a key of its own, where it has a valid one: a repetition is answered as before, or refused."""
    key = case.headers.get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(KEY_PATTERN, key):
        case.headers["Idempotency-Key"] = str(uuid4())
