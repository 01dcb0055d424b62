"""Optimistic concurrency: ``ETag: "version"`` out, ``If-Match`` in."""

import re
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Header

from platform_api.kit.errors import ApiError

ETAG_PATTERN: Final = r'^"([0-9]{1,9})"$'
_ETAG: Final = re.compile(ETAG_PATTERN)


def etag(version: int) -> str:
    """Entity tag of a row's version."""
    return f'"{version}"'


async def expected_version(
    if_match: Annotated[
        str | None,
        Header(description='The ETag last seen, for instance `"1"`', json_schema_extra={"pattern": ETAG_PATTERN}),
    ] = None,
) -> int:
    """Version that the client has seen. Raises ApiError: 428 when it does not say, 412 for a tag not of ours."""
    if if_match is None:
        raise ApiError(HTTPStatus.PRECONDITION_REQUIRED, "send If-Match with the ETag you last saw")
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise ApiError(HTTPStatus.PRECONDITION_FAILED, 'If-Match must be one strong tag such as "1"')
    return int(found[1])


def stale(what: str) -> ApiError:
    """412: the row has another version by now."""
    return ApiError(HTTPStatus.PRECONDITION_FAILED, f"the {what} has changed since; read it again")


ExpectedVersion = Annotated[int, Depends(expected_version)]
