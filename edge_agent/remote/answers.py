"""Puts answers into lane rsp, each once, whatever dies in between.

The store owes answers in order, without holes, and each is a frame of its own, so the n-th answer is the n-th frame
of the lane: how far the outbox has numbered the lane says what is told, and no second commit can disagree with it.
"""

from collections.abc import Callable

import msgspec
import structlog

from contracts.frames import PROTOCOL_VERSION, Answer, AnswerFrame
from contracts.topics import Lane
from edge_agent.clock import Instant
from edge_agent.outbox.builder import UNNUMBERED
from edge_agent.outbox.file import Outbox
from edge_agent.remote.store import RemoteStore

_DECODE = msgspec.json.Decoder(Answer).decode

log = structlog.get_logger()


def answer_frame(answer: Answer, instant: Instant, boot: str) -> AnswerFrame:
    """One answer in a frame of its own, without its number."""
    return AnswerFrame(
        v=PROTOCOL_VERSION,
        ep=UNNUMBERED,
        seq=1,
        t0=max(0, instant.utc_ms),
        sync=int(instant.synced),
        boot=boot,
        mono=instant.mono_ms,
        rs=[answer],
    )


class Teller:
    """``put`` hands an answer to the outbox's writer: False when it takes nothing now. Belongs to one thread."""

    def __init__(self, store: RemoteStore, outbox: Outbox, put: Callable[[Answer], bool]) -> None:
        self._store = store
        self._outbox = outbox
        self._put = put
        self._ep, self._base = store.lane()
        self._in_flight: int | None = None
        self._committed = 0

    def tell(self) -> bool:
        """Hand over the next answer when the one before is on the disk; False when there is none to wait for."""
        ep = self._outbox.ep
        marks = self._outbox.marks()[Lane.RSP]
        if ep != self._outbox.ep:
            return True  # a new incarnation began between the two: look again
        if ep != self._ep:
            if self._in_flight is not None and marks.last == 0:
                return True  # it has no number there yet
            self._store.follow(ep, marks.last, self._in_flight)
            self._ep, self._base = self._store.lane()
            self._in_flight, self._committed = None, 0
        if marks.committed > self._committed:
            self._committed = marks.committed
            self._store.forget_answers(self._base + marks.committed)
        told = self._base + marks.last
        if self._in_flight is not None and self._in_flight > told:
            return True
        self._in_flight = None
        owed = self._store.next_answer(told)
        if owed is None:
            return False
        ordinal, body = owed
        assert ordinal == told + 1, f"answer {ordinal} follows {told}"
        answer = _DECODE(body)
        if self._put(answer):
            self._in_flight = ordinal
            log.info("answer_told", command=answer.cmd, state=answer.state, config=answer.cfg, applied=answer.applied)
        return True
