"""Keeps the pictures of SKUs: what they are is read from their bytes."""

from hashlib import sha256
from typing import Final

from platform_api.catalogue import queries
from platform_api.kit.db import Connection
from platform_api.kit.errors import unprocessable

IMAGE_MAX_BYTES: Final = 200_000


def keep(tx: Connection, tenant_id: str, sku: str, content: bytes) -> str:
    """Keep a picture in place of the one before; its ETag. Raises InputError (422) for what is no picture."""
    if len(content) > IMAGE_MAX_BYTES:
        raise unprocessable("body", f"has {len(content)} bytes, more than {IMAGE_MAX_BYTES}")
    media = media_type_of(content)
    if media is None:
        raise unprocessable("body", "is no JPEG, PNG or WebP")
    digest = sha256(content).hexdigest()
    values = {"tenant_id": tenant_id, "sku": sku, "media_type": media, "sha256": digest, "content": content}
    tx.execute(queries.KEEP_IMAGE, values)
    return tag_of(digest)


def tag_of(digest: str) -> str:
    """ETag of the picture with this SHA-256."""
    return f'"{digest}"'


def media_type_of(content: bytes) -> str | None:
    """Type of a picture by its first and last bytes, None for what is none of those that we show."""
    if content.startswith(b"\xff\xd8\xff") and content.rstrip(b"\0").endswith(b"\xff\xd9"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") and content.endswith(b"IEND\xaeB`\x82"):
        return "image/png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and int.from_bytes(content[4:8], "little") <= len(content):
        return "image/webp"
    return None
