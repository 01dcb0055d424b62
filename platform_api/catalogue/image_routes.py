"""/v1/skus/{sku}/image: a picture of what is sold."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from platform_api.catalogue import pictures, queries
from platform_api.kit.auth import Caller, Principal, Role, require
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found

router = APIRouter(tags=["catalogue"], responses={**COMMON_RESPONSES, **NOT_FOUND_RESPONSE})

MEDIA_TYPES: Final = ("image/jpeg", "image/png", "image/webp")
CACHE: Final = "private, max-age=300, must-revalidate"
"""Kept by the browser alone, since another person may not see it, and asked about after five minutes."""
_FILE: Final = {media: {"schema": {"type": "string", "format": "binary"}} for media in MEDIA_TYPES}
ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The picture", "content": _FILE},
    304: {"description": "It is the one that If-None-Match names"},
}
BODY: Final[dict[str, Any]] = {"requestBody": {"required": True, "content": _FILE}}

SkuPath = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]*$")]
Known = Annotated[str | None, Header(alias="If-None-Match", max_length=1_000)]
Head = Annotated[Principal, Depends(require(Role.HQ))]


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


@router.put("/v1/skus/{sku}/image", summary="Set the picture of a SKU", status_code=204, openapi_extra=BODY)
def write_image(sku: SkuPath, caller: Head, tx: Tx, content: Annotated[bytes, Depends(image_body)]) -> Response:
    """JPEG, PNG or WebP of at most 200,000 bytes, in place of the one before. Its type is read from its bytes."""
    place = {"tenant_id": caller.tenant_id, "sku": sku}
    if tx.execute(queries.LOCK_SKU, place).fetchone() is None:
        raise not_found("SKU")
    tag = pictures.keep(tx, caller.tenant_id, sku, content)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"ETag": tag})
