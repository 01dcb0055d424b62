"""Signatures are those of the minisign program, in both directions."""

import shutil
import subprocess
from pathlib import Path

import pytest

from contracts.errors import UserError
from deploy.releases import signing
from edge_agent.update.errors import UpdateError
from edge_agent.update.minisign import parse_key, verify

MINISIGN = shutil.which("minisign") or ""
pytestmark = pytest.mark.skipif(not MINISIGN, reason="minisign is not installed")
MESSAGE = b'{"version": "1.1.0"}'


def minisign(folder: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MINISIGN, *words], cwd=folder, input=typed, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert minisign(tmp_path, "-G", "-W", "-p", "k.pub", "-s", "k.key").returncode == 0
    (tmp_path / "m").write_bytes(MESSAGE)
    return tmp_path


def no_password() -> str:
    msg = "this key has none"
    raise AssertionError(msg)


def test_what_minisign_signs_is_believed(keys: Path) -> None:
    assert minisign(keys, "-S", "-s", "k.key", "-m", "m", "-t", "release 1.1.0").returncode == 0
    key = parse_key((keys / "k.pub").read_text())
    assert verify(MESSAGE, (keys / "m.minisig").read_text(), key) == "release 1.1.0"


def test_minisign_believes_what_we_sign(keys: Path) -> None:
    secret = signing.read_key((keys / "k.key").read_text(), no_password)
    (keys / "m.minisig").write_text(signing.sign(MESSAGE, "release 1.1.0", secret))
    done = minisign(keys, "-V", "-Q", "-p", "k.pub", "-m", "m")
    assert (done.returncode, done.stdout.strip()) == (0, "release 1.1.0")
    (keys / "m").write_bytes(MESSAGE + b" ")
    assert minisign(keys, "-V", "-p", "k.pub", "-m", "m").returncode != 0


def test_the_legacy_format_is_refused(keys: Path) -> None:
    assert minisign(keys, "-S", "-l", "-s", "k.key", "-m", "m").returncode == 0
    with pytest.raises(UpdateError, match="legacy format"):
        verify(MESSAGE, (keys / "m.minisig").read_text(), parse_key((keys / "k.pub").read_text()))


def test_a_key_with_a_password_opens_with_that_password_only(keys: Path) -> None:
    assert minisign(keys, "-G", "-p", "p.pub", "-s", "p.key", typed="horse\nhorse\n").returncode == 0
    text = (keys / "p.key").read_text()
    secret = signing.read_key(text, lambda: "horse")
    assert verify(MESSAGE, signing.sign(MESSAGE, "c", secret), parse_key((keys / "p.pub").read_text())) == "c"
    with pytest.raises(UserError, match="wrong password"):
        signing.read_key(text, lambda: "cow")
