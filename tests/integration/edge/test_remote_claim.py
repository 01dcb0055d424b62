"""A claim code becomes files: against a real HTTP(S) server, with every way in which it can fail."""

import datetime as dt
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from contracts.errors import UserError
from contracts.provision import MACHINE_PATTERN
from deploy.local.ports import free_port
from edge_agent.remote.claim import claim
from edge_agent.settings import load
from tests.integration.edge.agent_process import edge
from tests.integration.edge.claim_server import claim_server, tls_claim_server

CODE = "7KZ3M-00000-ABCDE-FGHJK"
SECRET = "s3cret-of-the-gateway"
OTHERS = """\
# My shelves.
tenant = "demo"
site = "store-01"
gateway = "gw-01"

[broker]  # the old one
url = "mqtt://127.0.0.1"

[[bus]]   # stays as it is
name = "shelves"
kind = "tcp"
host = "127.0.0.1"
"""


def try_claim(folder: Path, api: str, *, code: str = CODE, ca: Path | None = None, agrees: bool = True) -> Path:
    config = folder / "edge.toml"
    claim(code, api=api, config=config, ca_file=ca, agent="0.1.0", confirm=lambda _question: agrees)
    return config


def test_over_tls_the_gateway_gets_its_name_its_secret_and_a_configuration(tmp_path: Path) -> None:
    home = tmp_path / "etc"
    with tls_claim_server(tmp_path) as (server, authority):
        server.grant(update_key="untrusted comment: key\nRWQ…\n")
        done = subprocess.run(
            edge("claim", "7kz3m ooooo abcde fghjk", "--api", server.url, "--config", home / "edge.toml",
                 "--ca", authority, "--json"),
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["tenant"], told["site"], told["gateway"]) == ("demo", "store-01", "gw-01")
    assert [Path(file).name for file in told["files"]] == ["broker.secret", "ca.pem", "update.pub", "edge.toml"]
    assert SECRET not in done.stdout + done.stderr + (home / "edge.toml").read_text()
    assert (home / "broker.secret").stat().st_mode & 0o777 == 0o600
    broker = load(home / "edge.toml", {}).broker
    assert broker is not None
    assert (broker.host, broker.port, broker.tls) == ("broker.example", 8883, True)
    assert (broker.username, broker.password, broker.ca_file) == ("demo/gw-01", SECRET, home / "ca.pem")
    (asked,) = server.asked
    assert asked["code"] == CODE
    assert re.match(MACHINE_PATTERN, asked["machine"])


def test_an_existing_configuration_keeps_all_but_its_broker(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(OTHERS)
    with claim_server() as server:
        server.grant(ca_pem="")
        config = try_claim(tmp_path, server.url)
    text = config.read_text()
    assert text.startswith("# My shelves.\n")
    assert "[[bus]]   # stays as it is" in text
    assert "the old one" not in text
    assert tomllib.loads(text)["broker"] == {
        "url": "mqtts://demo%2Fgw-01@broker.example:8883",
        "password_file": "broker.secret",
    }


def test_without_a_yes_nothing_is_touched_and_the_code_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(OTHERS)
    with claim_server() as server:
        server.grant()
        with pytest.raises(UserError, match="left as it is, and the code is not used"):
            try_claim(tmp_path, server.url, agrees=False)
        assert server.asked == []
    assert (tmp_path / "edge.toml").read_text() == OTHERS
    assert not (tmp_path / "broker.secret").exists()


def test_a_code_of_another_gateway_changes_nothing_here(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(OTHERS)
    with claim_server() as server:
        server.grant(gateway="gw-02")
        with pytest.raises(UserError, match="it is of gateway 'gw-01', and the code is for 'gw-02'"):
            try_claim(tmp_path, server.url)
    assert (tmp_path / "edge.toml").read_text() == OTHERS
    assert not (tmp_path / "broker.secret").exists()


@pytest.mark.parametrize("detail", ["the code is unknown, used or expired; ask for a new one", "too many\nattempts"])
def test_a_code_that_the_platform_does_not_take_says_why_in_one_line(tmp_path: Path, detail: str) -> None:
    with claim_server() as server:
        server.refuse(403, detail)
        with pytest.raises(UserError) as caught:
            try_claim(tmp_path, server.url)
    assert caught.value.message == f"the platform does not take the code: {' '.join(detail.split())} (403)"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "api", "message"),
    [
        ("7KZ3M", "https://platform.example", "that is no claim code"),
        ("7KZ3M-00000-ABCDE-FGHJU", "https://platform.example", "that is no claim code"),
        (CODE, "http://platform.example", "--api http://platform.example: the secret would come in the clear"),
        (CODE, "platform.example", "--api platform.example: not https://host[:port]"),
        (CODE, "https://me@platform.example", "--api https://me@platform.example: not https://host[:port]"),
    ],
)
def test_what_is_wrong_before_anybody_is_asked_is_one_line(tmp_path: Path, code: str, api: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        try_claim(tmp_path, api, code=code)
    assert caught.value.message == message


def test_an_api_that_is_away_leaves_the_code_unused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot reach http://127\.0\.0\.1:.*refused") as caught:
        try_claim(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("try again")


def test_a_certificate_of_an_unknown_authority_is_not_believed(tmp_path: Path) -> None:
    with tls_claim_server(tmp_path) as (server, _), pytest.raises(UserError, match="is not believed") as caught:
        try_claim(tmp_path / "etc", server.url)
    assert server.asked == []
    assert "--ca FILE" in caught.value.hint


@pytest.mark.parametrize(("begin", "end"), [(1, 2), (-2, -1)], ids=["not yet valid", "expired"])
def test_a_certificate_out_of_its_time_points_at_the_clock(tmp_path: Path, begin: int, end: int) -> None:
    now = dt.datetime.now(dt.UTC)
    begins, ends = now + dt.timedelta(days=begin), now + dt.timedelta(days=end)
    with (
        tls_claim_server(tmp_path, begins=begins, ends=ends) as (server, authority),
        pytest.raises(UserError, match="by this gateway's clock") as caught,
    ):
        try_claim(tmp_path / "etc", server.url, ca=authority)
    assert server.asked == []
    assert "set the clock" in caught.value.hint


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with claim_server() as server, claim_server() as elsewhere:
        elsewhere.grant()
        server.answer = (307, {"Location": f"{elsewhere.url}/v1/claims:redeem"}, b"")
        with pytest.raises(UserError, match="points elsewhere"):
            try_claim(tmp_path, server.url)
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"{}", b"x" * 20_000, json.dumps({"tenant": "../../etc"}).encode()],
    ids=["html", "empty", "long", "names"],
)
def test_an_answer_that_is_none_writes_nothing(tmp_path: Path, answer: bytes) -> None:
    with claim_server() as server:
        server.answer = (200, {}, answer)
        with pytest.raises(UserError, match="answers, but not as this agent expects"):
            try_claim(tmp_path, server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_broker_in_the_clear_elsewhere_is_not_accepted(tmp_path: Path) -> None:
    with claim_server() as server:
        server.grant(broker_url="mqtt://broker.example:1883")
        with pytest.raises(UserError, match="would hear the secret in the clear"):
            try_claim(tmp_path, server.url)
    assert list(tmp_path.iterdir()) == []
