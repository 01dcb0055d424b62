"""Pictures of SKUs: what is taken, and how it is shown."""

import struct
import zlib

import pytest
from fastapi.testclient import TestClient

from platform_api.catalogue.pictures import IMAGE_MAX_BYTES
from tests.integration.api.conftest import bearer
from tests.integration.api.world import World


def png(color: int) -> bytes:
    """A picture of one grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes([0, color]))) + chunk(b"IEND", b"")


def test_a_picture_is_shown_with_a_tag_until_another_takes_its_place(
    hq: TestClient, anonymous: TestClient, world: World
) -> None:
    path = "/v1/skus/tea/image"
    assert hq.get(path).status_code == 404
    assert hq.put(path, content=png(1)).status_code == 204
    shown = anonymous.get(path, headers=bearer(world, "store@acme"))
    assert (shown.status_code, shown.content, shown.headers["content-type"]) == (200, png(1), "image/png")
    assert shown.headers["cache-control"].startswith("private, max-age=")
    assert shown.headers["x-content-type-options"] == "nosniff"
    tag = shown.headers["etag"]
    again = hq.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert hq.put(path, content=png(2), headers={"If-Match": tag}).headers["etag"] != tag
    assert hq.get(path, headers={"If-None-Match": tag}).content == png(2)
    assert anonymous.get(path, headers=bearer(world, "hq@bravo")).status_code == 404


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
        b"GIF89a" + b"\0" * 20,
        b"\xff\xd8\xff<html>",
        png(1)[:-4],
        png(1)[:-12] + b"x" * IMAGE_MAX_BYTES + png(1)[-12:],
    ],
)
def test_what_is_no_picture_or_too_large_is_refused(content: bytes, hq: TestClient) -> None:
    assert hq.put("/v1/skus/tea/image", content=content, headers={"Content-Type": "image/png"}).status_code == 422
    assert hq.get("/v1/skus/tea/image").status_code == 404


def test_a_picture_of_what_is_not_sold_is_refused(hq: TestClient) -> None:
    assert hq.put("/v1/skus/none/image", content=png(1)).status_code == 404


def test_a_picture_is_replaced_and_taken_away_by_whoever_has_seen_it(hq: TestClient) -> None:
    path = "/v1/skus/tea/image"
    assert hq.put(path, content=png(1), headers={"If-Match": '"none"'}).status_code == 412
    first = hq.put(path, content=png(1)).headers["etag"]
    assert hq.put(path, content=png(2)).status_code == 428
    second = hq.put(path, content=png(2), headers={"If-Match": first}).headers["etag"]
    assert hq.put(path, content=png(3), headers={"If-Match": first}).status_code == 412
    assert hq.delete(path).status_code == 428
    assert hq.delete(path, headers={"If-Match": first}).status_code == 412
    assert hq.get(path).content == png(2)
    assert hq.delete(path, headers={"If-Match": second}).status_code == 204
    assert hq.get(path).status_code == 404
    assert hq.delete(path, headers={"If-Match": second}).status_code == 404
