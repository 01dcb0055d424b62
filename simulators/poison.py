"""Messages that no conforming gateway sends, each with the reason for which the stream must refuse it."""

import gzip
from collections.abc import Callable
from typing import Final, NamedTuple

_DAY_MS: Final = 86_400_000
_DEEP: Final = b'"more":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b","
_BODY: Final = b'"ch":["b1.weight_g"],"i":[0],"d":[0],"x":[1.5]}'
_CHANNELS: Final = b",".join(b'"b%d.w"' % number for number in range(1_001))


class Poison(NamedTuple):
    """One message. ``settled``: it has a readable place in its lane, which goes on behind it."""

    name: str
    reason: str
    payload: bytes
    settled: bool


class _Case(NamedTuple):
    """A poison whose payload follows from the head of a good frame (up to ``sync``) and from the time in ms."""

    name: str
    reason: str
    payload: Callable[[bytes, "_Head"], bytes]


class _Head(NamedTuple):
    """Heads of frames that lie about themselves."""

    ep: str
    seq: int
    now_ms: int

    def at(self, t0_ms: int, *, seq: int | None = None, v: int = 1, sync: int = 1) -> bytes:
        """The keys before a frame's columns."""
        place = self.seq if seq is None else seq
        return b'{"v":%d,"ep":"%s","seq":%d,"t0":%d,"sync":%d,' % (v, self.ep.encode(), place, t0_ms, sync)


def _column(values: bytes) -> Callable[[bytes, _Head], bytes]:
    return lambda head, _: head + b'"ch":["b1.weight_g"],"i":[0],"d":[0],"x":[' + values + b"]}"


_WITHOUT_A_PLACE: Final = (
    _Case("malformed", "bad_json", lambda head, _: head[:26]),
    _Case("empty", "bad_json", lambda *_: b""),
    _Case("another type", "bad_body", lambda *_: b"[1,2,3]"),
    _Case("deep", "bad_body", lambda *_: b"[" * 60_000),
    _Case("deep in an unknown key", "bad_json", lambda head, _: head + _DEEP + _BODY),
    _Case("compressed", "bad_json", lambda *_: gzip.compress(b"0" * 10_000_000)),
    _Case("large", "too_large", lambda head, _: head + b'"ch":["' + b"a" * 65_600 + b'"]}'),
    _Case("nan", "bad_json", _column(b"NaN")),
    _Case("infinite", "bad_json", _column(b"-Infinity")),
    _Case("number twice", "duplicate_key", lambda head, _: head + b'"seq":7,' + _BODY),
    _Case("seq 0", "bad_body", lambda _, lie: lie.at(lie.now_ms, seq=0) + _BODY),
    _Case("seq negative", "bad_body", lambda _, lie: lie.at(lie.now_ms, seq=-1) + _BODY),
    _Case("seq 2^60", "bad_body", lambda _, lie: lie.at(lie.now_ms, seq=2**60) + _BODY),
    _Case("other version", "bad_body", lambda _, lie: lie.at(lie.now_ms, v=2) + _BODY),
)
_WITH_A_PLACE: Final = (
    _Case("not utf-8", "bad_body", lambda head, _: head + _BODY.replace(b"b1", b"\xff\xfe")),
    _Case("huge number", "bad_body", _column(b"1e999")),
    _Case("huge whole number", "bad_body", _column(b"9" * 5_000)),
    _Case("bool as number", "bad_body", _column(b"true")),
    _Case("text as number", "bad_body", _column(b'"1"')),
    _Case("nul in a name", "bad_body", lambda head, _: head + _BODY.replace(b"b1", b"b1\\u0000")),
    _Case("columns differ", "bad_columns", lambda head, _: head + _BODY.replace(b'"i":[0]', b'"i":[0,0]')),
    _Case("index beyond", "bad_columns", lambda head, _: head + _BODY.replace(b'"i":[0]', b'"i":[1]')),
    _Case("far future", "bad_time", lambda _, lie: lie.at(lie.now_ms + 3_600_000) + _BODY),
    _Case("1970", "bad_time", lambda _, lie: lie.at(5_000) + _BODY),
    _Case("before retention", "bad_time", lambda _, lie: lie.at(lie.now_ms - 401 * _DAY_MS) + _BODY),
    _Case("no clock", "unsynced", lambda _, lie: lie.at(5_000, sync=0) + _BODY),
    _Case("wrong tenant", "wrong_tenant", lambda head, _: head + b'"tenant":"other",' + _BODY),
    _Case("key twice", "duplicate_key", lambda head, _: head + b'"x":[2.5],' + _BODY),
    _Case("too many channels", "bad_body",
          lambda head, _: head + b'"ch":[' + _CHANNELS + b'],"i":[0],"d":[0],"x":[1]}'),
)  # fmt: skip


def poisons(ep: str, seq: int, now_ms: int) -> list[Poison]:
    """Every poison as frame ``seq`` of incarnation ``ep``, written at ``now_ms``.

    One after the other needs its own place: the next ``seq`` behind each that is ``settled``.
    """
    lie = _Head(ep, seq, now_ms)
    head = lie.at(now_ms)
    return [
        Poison(case.name, case.reason, case.payload(head, lie), settled)
        for cases, settled in ((_WITHOUT_A_PLACE, False), (_WITH_A_PLACE, True))
        for case in cases
    ]
