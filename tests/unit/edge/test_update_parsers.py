"""What comes from afar is either exactly what was signed for this gateway, or refused with UpdateError and no other."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from contracts.topics import Lane
from deploy.releases.signing import SecretKey, sign
from edge_agent.outbox.store import Marks
from edge_agent.update.errors import UpdateError
from edge_agent.update.hearing import IN_FLIGHT_MAX, Account, is_proven
from edge_agent.update.manifest import FORMAT, PRODUCT, Manifest, Running, check, decode, numbers
from edge_agent.update.minisign import PublicKey, parse_key, verify

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECRET = SecretKey(b"12345678", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
PUBLIC = PublicKey(SECRET.id, SECRET.key.public_key())
MESSAGE = b"a manifest"
SIGNATURE = sign(MESSAGE, "a release", SECRET)
GOOD = Manifest(
    format=FORMAT, product=PRODUCT, version="1.1.0", platform="here", url="a.tar.gz", sha256="0" * 64, size=1,
    unpacked=1, requires="0.0.0", created=NOW, expires=NOW + timedelta(days=1),
)  # fmt: skip

versions = st.tuples(*[st.integers(0, 999_999)] * 3).map(lambda parts: ".".join(map(str, parts)))


@given(st.binary(max_size=400))
def test_bytes_that_are_no_manifest_are_refused(body: bytes) -> None:
    with pytest.raises(UpdateError):
        decode(body)


@given(
    st.dictionaries(
        st.sampled_from([*Manifest.__struct_fields__, "more"]), st.none() | st.integers() | st.text(), min_size=1
    )
)
def test_a_manifest_with_a_field_of_another_kind_is_refused_or_still_one(changes: dict[str, object]) -> None:
    told = msgspec.json.decode(msgspec.json.encode(GOOD)) | changes
    try:
        manifest = decode(msgspec.json.encode(told))
    except UpdateError:
        return
    assert numbers(manifest.version)
    assert 0 < manifest.size <= 256 * 1024 * 1024
    assert "more" not in changes


@given(st.text(max_size=300))
def test_text_that_is_no_key_and_no_signature_is_refused(text: str) -> None:
    with pytest.raises(UpdateError):
        parse_key(text)
    with pytest.raises(UpdateError):
        verify(MESSAGE, text, PUBLIC)


@given(st.integers(0, len(SIGNATURE) - 1), st.characters(exclude_categories=["Cs"]))
def test_a_signature_with_another_character_says_the_same_or_is_refused(at: int, character: str) -> None:
    altered = SIGNATURE[:at] + character + SIGNATURE[at + 1 :]
    try:
        comment = verify(MESSAGE, altered, PUBLIC)
    except UpdateError:
        return
    # The first line is not signed, and line ends may be written in several ways.
    assert comment == "a release"


@given(st.integers(0, len(MESSAGE) - 1), st.integers(1, 255))
def test_a_message_with_another_byte_is_refused(at: int, flip: int) -> None:
    altered = bytearray(MESSAGE)
    altered[at] ^= flip
    with pytest.raises(UpdateError, match="altered"):
        verify(bytes(altered), SIGNATURE, PUBLIC)


@given(versions, versions, st.booleans())
def test_versions_only_grow_unless_the_manifest_was_signed_as_a_downgrade(
    wanted: str,
    have: str,
    downgrade: bool,  # noqa: FBT001 - drawn
) -> None:
    manifest = msgspec.structs.replace(GOOD, version=wanted, downgrade=downgrade)
    follows = True
    try:
        check(manifest, Running(have, "here", None), NOW)
    except UpdateError:
        follows = False
    assert follows == (numbers(wanted) > numbers(have) or (downgrade and numbers(wanted) < numbers(have)))


def test_a_downgrade_that_was_kept_once_is_not_followed_again() -> None:
    downgrade = msgspec.structs.replace(GOOD, version="1.0.0", downgrade=True)
    check(downgrade, Running("1.1.0", "here", NOW - timedelta(days=1)), NOW)
    with pytest.raises(UpdateError, match="a newer one was followed"):
        check(downgrade, Running("1.1.0", "here", NOW), NOW)


def account(committed: int, last: int, ep: str = "aaaa") -> Account:
    return Account(ep, {Lane.TEL: Marks(committed, last), Lane.EVT: Marks(0, 0)})


@pytest.mark.parametrize(
    ("now", "proven"),
    [
        pytest.param(account(100, 100), False, id="nothing new was committed"),
        pytest.param(account(110, 150), False, id="the old process' frames were"),
        pytest.param(account(111, 150), True, id="one that this process wrote was"),
        pytest.param(account(0, 5, "bbbb"), False, id="a new incarnation, and nothing of it"),
        pytest.param(account(1, 5, "bbbb"), True, id="a new incarnation, and some of it"),
    ],
)
def test_only_an_ack_for_what_this_process_sent_proves_it(now: Account, proven: bool) -> None:  # noqa: FBT001
    assert is_proven(account(100, 110), now) is proven


def test_while_a_long_backlog_is_sent_more_than_the_old_process_had_in_flight_proves_it() -> None:
    start, last = account(0, 20_000), 20_010
    assert not is_proven(start, account(IN_FLIGHT_MAX, last))
    assert is_proven(start, account(IN_FLIGHT_MAX + 1, last))
