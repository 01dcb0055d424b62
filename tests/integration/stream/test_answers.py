"""Answers of gateways to commands and configurations, carried by lane rsp."""

import time

import psycopg
import pytest

from contracts import topics
from contracts.frames import Answer, AnswerFrame
from contracts.topics import Lane
from tests.integration.stream.running import ADDRESS, Device, Platform, eventually


@pytest.fixture
def asked(platform: Platform) -> Platform:
    """A stream, two commands and a configuration that the gateway has not answered."""
    with psycopg.connect(platform.dsn) as connection:
        connection.execute(
            "INSERT INTO command (command_id, tenant_id, gateway_id, kind, expires_at)"
            " VALUES ('c1', 'acme', 'g1', 'tare', now() + interval '1 hour'),"
            "        ('c2', 'acme', 'g2', 'tare', now() + interval '1 hour')"
        )
        connection.execute(
            "INSERT INTO gateway_config (tenant_id, gateway_id, version, config, sha256)"
            " VALUES ('acme', 'g1', 7, '{}', 'aa')"
        )
    platform.start()
    return platform


def answer(seq: int, *answers: Answer) -> AnswerFrame:
    return AnswerFrame(v=1, ep="aaaa", seq=seq, t0=time.time_ns() // 1_000_000, rs=list(answers))


def test_answers_reach_their_command_and_configuration(asked: Platform, device: Device) -> None:
    device.send(Lane.RSP, answer(1, Answer(cmd="c1", state="acked"), Answer(cfg=7, applied=False, error="too hot")))
    done = answer(2, Answer(cmd="c1", state="done", result={"grams": 3.5}))
    device.send(Lane.RSP, done)
    device.send(Lane.RSP, done)
    # Late, and of another gateway: neither changes anything.
    device.send(Lane.RSP, answer(3, Answer(cmd="c1", state="acked"), Answer(cmd="c2", state="done")))
    eventually(lambda: device.told(Lane.RSP) == 3, "all are acknowledged")
    assert asked.rows("SELECT command_id, state, result FROM command ORDER BY command_id") == [
        ("c1", "done", {"grams": 3.5}),
        ("c2", "queued", {}),
    ]
    assert asked.rows("SELECT state, error FROM gateway_config") == [("refused", "too hot")]
    assert asked.rows("SELECT * FROM quarantine") == []


def test_answers_that_cannot_be_stored_are_quarantined_and_block_nothing(asked: Platform, device: Device) -> None:
    head = b'{"v":1,"ep":"aaaa","seq":%d,"rs":['
    poison = [
        b'{"cmd":"c1","state":"done","result":{"a":"\\u0000"}}',
        b'{"cmd":"c1","state":"done","result":{"\\u0000":1}}',
        b'{"cmd":"c1","state":"done","error":"a\\u0000"}',
        b'{"cfg":2147483648,"applied":true}',
        b'{"cfg":99999999999999999999,"applied":true}',
        b'{"cmd":"c1","state":"done","result":{"a":' + b"[" * 400 + b"]" * 400 + b"}}",
        b'{"cmd":"c1","state":"done","result":{"a":"' + b"x" * 20_000 + b'"}}',
        b'{"cmd":"c1","state":"gone"}',
    ]
    for seq, body in enumerate(poison, 1):
        device.publish(topics.up(ADDRESS, Lane.RSP), head % seq + body + b"]}")
    last = len(poison) + 1
    device.send(Lane.RSP, answer(last, Answer(cmd="c1", state="done")))
    eventually(lambda: device.told(Lane.RSP) == last, "the lane goes on")
    assert asked.rows("SELECT seq, reason FROM quarantine ORDER BY seq") == [
        (seq, "bad_body") for seq in range(1, last)
    ]
    assert asked.metric("shelfpulse_commit_retries_total") == 0
    assert asked.one("SELECT state FROM command WHERE command_id = 'c1'") == "done"
