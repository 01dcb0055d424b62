"""What is taken from a server, and what is not: each attack leaves the running release alone and nothing behind."""

import resource
import signal
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge_agent.remote.trial import Health
from edge_agent.update.errors import UpdateError
from edge_agent.update.guard import running
from edge_agent.update.trial import activate, confirm
from tests.integration.edge.update_world import NOW, Quiet, World, answering, new_key, serving, tar_of, update_world
from tests.services.certificates import Authority

WELL = Health(frozenset(), frozenset(), is_heard=True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with update_world(tmp_path) as made:
        yield made


def refused(world: World, url: str, why: str, version: str = "1.0.0", **more: Any) -> None:
    before = world.releases()
    with pytest.raises(UpdateError, match=why):
        world.stage(url, version, **more)
    assert world.releases() == before
    assert world.leftovers() == []


def follow(world: World, url: str, version: str) -> None:
    """Stage, switch, and keep."""
    staged = world.stage(url, version)
    activate(world.home, staged.version, staged.created, before=WELL)
    confirm(world.home)


def test_a_good_release_lies_ready_and_nothing_else_changes(world: World) -> None:
    staged = world.stage(world.publish())
    assert staged.version == "1.1.0"
    assert (world.home / "releases/1.1.0/lib/part.txt").read_bytes() == b"x" * 1000
    assert running(world.home) is None
    assert world.leftovers() == []
    assert world.start() == "running 1.0.0"


def test_a_release_can_be_staged_again(world: World) -> None:
    url = world.publish()
    world.stage(url)
    (world.home / "releases/1.1.0/lib/part.txt").write_text("rotten")
    world.stage(url)
    assert (world.home / "releases/1.1.0/lib/part.txt").read_bytes() == b"x" * 1000


def test_an_altered_archive_is_refused(world: World) -> None:
    url = world.publish()
    file = world.folder / "1.1.0.tar.gz"
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    refused(world, url, "SHA-256 differs")


def test_an_altered_manifest_is_refused(world: World) -> None:
    url = world.publish()
    file = world.folder / "1.1.0.json"
    file.write_bytes(file.read_bytes().replace(b'"1.1.0"', b'"1.2.0"'))
    refused(world, url, "has been altered")


def test_an_altered_trusted_comment_is_refused(world: World) -> None:
    url = world.publish()
    file = world.folder / "1.1.0.json.minisig"
    file.write_text(file.read_text().replace("a release", "another one"))
    refused(world, url, "has been altered")


@pytest.mark.parametrize(
    ("key_id", "why"), [(b"\1\2\3\4\5\6\7\10", "has been altered"), (b"other id", "signed with another key")]
)
def test_a_signature_of_another_key_is_refused(world: World, key_id: bytes, why: str) -> None:
    ours, world.secret = world.secret, new_key(key_id)
    url = world.publish()
    world.secret = ours
    refused(world, url, why)


def test_a_manifest_without_a_signature_is_refused(world: World) -> None:
    url = world.publish()
    (world.folder / "1.1.0.json.minisig").unlink()
    refused(world, url, "answers 404")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"expires": NOW}, "expired"),
        ({"created": NOW + timedelta(days=1)}, "clock is behind"),
        ({"platform": "cp312-linux_s390x"}, "is for cp312-linux_s390x"),
        ({"product": "shelfpulse-wall"}, "is for 'shelfpulse-wall'"),
        ({"format": 2}, "in format 2"),
        ({"requires": "1.0.1"}, "over 1.0.1 and later"),
        ({"version": "1.0.0"}, "runs already"),
        ({"version": "0.9.9"}, "older than 1.0.0"),
        ({"unpacked": 500}, "unpacks to more than 500 bytes"),
        ({"url": "file:///etc/passwd"}, "only https"),
        ({"url": "http://192.0.2.1/release.tar.gz"}, "only https"),
    ],
)
def test_a_manifest_that_is_not_for_here_and_now_is_refused(world: World, changes: dict[str, Any], why: str) -> None:
    refused(world, world.publish(**changes), why)


@pytest.mark.parametrize("body", [b"[" * 60_000, b"{}", b"\xff", b'{"format":1,"surprise":true}'])
def test_a_signed_file_that_is_no_manifest_is_refused(world: World, body: bytes) -> None:
    refused(world, world.put(body), "cannot be read")


def test_an_older_manifest_does_not_come_again(world: World) -> None:
    old = world.publish("1.1.0", created=NOW - timedelta(days=2))
    follow(world, world.publish("1.2.0"), "1.0.0")
    refused(world, old, "older than 1.2.0", "1.2.0")
    # Nor on a gateway that was sent back to its factory installation.
    refused(world, old, "a newer one was followed", "1.0.0")


def test_a_signed_downgrade_is_followed_once(world: World) -> None:
    follow(world, world.publish("1.2.0"), "1.0.0")
    down = world.publish("1.1.0", downgrade=True, created=NOW + timedelta(minutes=1))
    follow(world, down, "1.2.0")
    assert world.start() == "running 1.1.0"
    follow(world, world.publish("1.3.0", created=NOW + timedelta(minutes=2)), "1.1.0")
    refused(world, down, "a newer one was followed", "1.3.0")


def test_more_bytes_than_announced_are_not_read(world: World) -> None:
    endless = answering(200, {}, b"x" * 1_000_000)
    with serving(endless) as url:
        refused(world, world.publish(url=f"{url}/big.tar.gz", size=1000), "longer than the 1000 bytes")


def test_a_manifest_of_any_size_is_not_read(world: World) -> None:
    with serving(answering(200, {}, b"x" * 100_000)) as url:
        refused(world, f"{url}/m.json", "over 65536 bytes")


def test_a_download_that_breaks_off_is_refused(world: World) -> None:
    world.publish()
    body = (world.folder / "1.1.0.tar.gz").read_bytes()
    with serving(answering(200, {"Content-Length": str(len(body))}, body[:100])) as other:
        refused(world, world.publish(url=f"{other}/short.tar.gz"), "ended after 100 of")
    assert world.stage(world.publish()).version == "1.1.0"


def test_a_redirect_is_not_followed(world: World) -> None:
    good = world.publish()
    with serving(answering(302, {"Location": good}, b"")) as url:
        refused(world, f"{url}/m.json", "which is not followed")


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "info",
    [
        entry("../escaped"),
        entry("lib/../../escaped"),
        entry("/tmp/escaped"),  # noqa: S108 - what an attacker would write
        entry("./lib/odd"),
        entry("lib/new\nline"),
        entry("lib/link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("lib/link", tarfile.LNKTYPE, "bin/shelfpulse"),
        entry("lib/device", tarfile.CHRTYPE),
        entry("lib/disk", tarfile.BLKTYPE),
        entry("lib/pipe", tarfile.FIFOTYPE),
        entry("bin/shelfpulse"),
    ],
    ids=lambda info: repr(info.name) + info.type.decode(),
)
def test_an_archive_with_anything_but_plain_files_below_its_root_is_refused(
    world: World, info: tarfile.TarInfo
) -> None:
    refused(world, world.publish(archive=tar_of((info, b""))), "the archive has")
    assert not list(world.home.parent.rglob("escaped"))


def test_an_archive_that_is_cut_or_no_archive_is_refused(world: World) -> None:
    refused(world, world.publish(archive=tar_of()[:150]), "cannot be unpacked")
    refused(world, world.publish(archive=b"not an archive"), "cannot be unpacked")


def test_set_user_id_bits_are_not_taken_over(world: World) -> None:
    info = entry("bin/other")
    info.mode = 0o6777
    world.stage(world.publish(archive=tar_of((info, b"x"))))
    assert (world.home / "releases/1.1.0/bin/other").stat().st_mode & 0o7022 == 0


def test_a_release_that_is_not_what_its_manifest_says_is_refused(world: World) -> None:
    refused(world, world.publish("1.3.0", archive=tar_of()), "not that it is 1.3.0")


def test_a_release_that_fails_its_self_test_is_refused(world: World) -> None:
    url = world.publish(self_test="echo no such bus >&2; exit 2")
    refused(world, url, "ended with 2: no such bus")


def test_a_disk_that_is_full_is_told_and_nothing_stays(world: World) -> None:
    url = world.publish(archive=tar_of((entry("lib/big"), bytes(300_000))), unpacked=1_000_000)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        refused(world, url, "the disk does not take the release")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert world.stage(url).version == "1.1.0"


def test_https_is_believed_by_the_authority_beside_the_configuration_alone(world: World, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    name = world.publish().rpartition("/")[2]
    with serving(partial(Quiet, directory=str(world.folder)), authority.issue("127.0.0.1")) as url:
        refused(world, f"{url}/{name}", "CERTIFICATE_VERIFY_FAILED")
        refused(world, f"{url}/{name}", "CERTIFICATE_VERIFY_FAILED", ca_file=other.ca)
        assert world.stage(f"{url}/{name}", ca_file=authority.ca).version == "1.1.0"
    with serving(partial(Quiet, directory=str(world.folder)), authority.issue("elsewhere")) as url:
        refused(world, f"{url}/{name}", "CERTIFICATE_VERIFY_FAILED", ca_file=authority.ca)


@pytest.mark.parametrize("url", ["https://[bad", "https://127.0.0.1:port/x.json", "https://127.0.0.1/\u00e4.json", ""])
def test_what_is_no_address_is_refused_in_a_line(world: World, url: str) -> None:
    refused(world, url, "no address|only https|nonnumeric port")


def test_an_authority_that_cannot_be_read_is_told(world: World, tmp_path: Path) -> None:
    world.publish()
    refused(world, "https://127.0.0.1:1/1.1.0.json", "no certificates to believe", ca_file=tmp_path / "none.pem")
