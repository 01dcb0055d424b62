"""One row of a thing, or the answer that there is none; and the version of it that a client saw."""

from collections.abc import Mapping
from typing import Any

from fastapi import Response

from platform_api.kit.conditions import etag, stale
from platform_api.kit.db import Connection
from platform_api.kit.errors import not_found

Row = Mapping[str, Any]


def read_one(tx: Connection, query: str, parameters: Mapping[str, object], what: str) -> Row:
    """The row of a query that names one thing. Raises ApiError (404)."""
    row = tx.execute(query, parameters).fetchone()
    if row is None:
        raise not_found(what)
    return row


def lock_one(tx: Connection, query: str, parameters: Mapping[str, object], what: str, version: int) -> Row:
    """The row of a query that holds it until the transaction ends. Raises ApiError: 404, or 412 for another version."""
    row = read_one(tx, query, parameters, what)
    if row["version"] != version:
        raise stale(what)
    return row


def tagged(row: Row, response: Response) -> Row:
    """The row itself; its version is the ETag of the answer."""
    response.headers["ETag"] = etag(row["version"])
    return row
