"""/v1/skus/{sku}/image: a picture of what is sold."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request, Response

from platform_api.catalogue import pictures, queries
from platform_api.kit.auth import Caller, Head, Principal
from platform_api.kit.conditions import stale
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import CHANGE_RESPONSES, COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError, not_found
from platform_api.kit.filters import SkuPath
from platform_api.kit.work import Router

router = Router(tags=["catalogue"], responses={**COMMON_RESPONSES, **NOT_FOUND_RESPONSE})

MEDIA_TYPES: Final = ("image/jpeg", "image/png", "image/webp")
CACHE: Final = "private, max-age=300, must-revalidate"
"""Kept by the browser alone, since another person may not see it, and asked about after five minutes."""
_FILE: Final = {media: {"schema": {"type": "string", "format": "binary"}} for media in MEDIA_TYPES}
ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The picture", "content": _FILE},
    304: {"description": "It is the one that If-None-Match names"},
}
BODY: Final[dict[str, Any]] = {"requestBody": {"required": True, "content": _FILE}}

Seen = Annotated[
    str | None, Header(alias="If-Match", max_length=1_000, description="ETag of the picture that is to go")
]
Known = Annotated[str | None, Header(alias="If-None-Match", max_length=1_000)]


async def image_body(request: Request) -> bytes:
    """The bytes of the picture."""
    return await request.body()


@router.get("/v1/skus/{sku}/image", summary="Show a SKU", response_class=Response, responses=ANSWER)
def read_image(sku: SkuPath, caller: Caller, tx: Tx, known: Known = None) -> Response:
    """Its picture; the ETag changes with it."""
    has = [one.strip().removeprefix("W/").strip('"') for one in (known or "").split(",")]
    row = tx.execute(queries.IMAGE, {"tenant_id": caller.tenant_id, "sku": sku, "known": has}).fetchone()
    if row is None:
        raise not_found("picture")
    headers = {"ETag": pictures.tag_of(row["sha256"]), "Cache-Control": CACHE}
    if row["content"] is None:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(bytes(row["content"]), media_type=row["media_type"], headers=headers)


@router.put(
    "/v1/skus/{sku}/image",
    summary="Set the picture of a SKU",
    status_code=204,
    openapi_extra=BODY,
    responses=CHANGE_RESPONSES,
)
def write_image(
    sku: SkuPath, caller: Head, tx: Tx, content: Annotated[bytes, Depends(image_body)], seen: Seen = None
) -> Response:
    """JPEG, PNG or WebP of at most 200,000 bytes; its type is read from its bytes.

    Where there is a picture, If-Match names the one that it takes the place of.
    """
    tag = _lock(tx, caller, sku)
    if tag is not None:
        _require_seen(tag, seen)
    elif seen is not None:
        raise stale("picture")
    tag = pictures.keep(tx, caller.tenant_id, sku, content)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"ETag": tag})


@router.delete(
    "/v1/skus/{sku}/image", summary="Take the picture of a SKU away", status_code=204, responses=CHANGE_RESPONSES
)
def delete_image(sku: SkuPath, caller: Head, tx: Tx, seen: Seen = None) -> Response:
    """The picture that If-Match names."""
    tag = _lock(tx, caller, sku)
    if tag is None:
        raise not_found("picture")
    _require_seen(tag, seen)
    tx.execute(queries.DELETE_IMAGE, {"tenant_id": caller.tenant_id, "sku": sku})
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _lock(tx: Connection, caller: Principal, sku: str) -> str | None:
    """ETag of the SKU's picture, which nobody else changes from here on. Raises ApiError (404) without the SKU."""
    place = {"tenant_id": caller.tenant_id, "sku": sku}
    if tx.execute(queries.LOCK_SKU, place).fetchone() is None:
        raise not_found("SKU")
    row = tx.execute(queries.IMAGE_TAG, place).fetchone()
    return None if row is None else pictures.tag_of(row["sha256"])


def _require_seen(tag: str, seen: str | None) -> None:
    """Raises ApiError: 428 when the client does not say what it has seen, 412 when that is not there any more."""
    if seen is None:
        raise ApiError(HTTPStatus.PRECONDITION_REQUIRED, "send If-Match with the ETag you last saw")
    if tag not in {one.strip() for one in seen.split(",")}:
        raise stale("picture")
