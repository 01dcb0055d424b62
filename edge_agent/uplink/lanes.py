"""The lanes of one gateway between its store and the window: what to publish next, and what an ack means."""

from collections import deque
from collections.abc import Callable

import structlog

from contracts import acks
from contracts.frames import Gap, GapReason
from contracts.topics import Lane
from edge_agent.outbox.file import OutboxFullError
from edge_agent.outbox.store import FrameStore, Stored
from edge_agent.uplink.counts import SenderCounts
from edge_agent.uplink.window import Watermark, Window

log = structlog.get_logger()


class Lanes:
    """Survives connections, as the ``window`` does. Used by the sender's thread only."""

    def __init__(self, store: FrameStore, counts: SenderCounts, jitter: Callable[[], float]) -> None:
        self._store = store
        self._counts = counts
        self._jitter = jitter
        self._ep = store.ep
        self._fetched: dict[Lane, deque[Stored]] = {lane: deque() for lane in Lane}
        self._acknowledged: set[Lane] = set()
        self.window = Window()

    def connected(self, receive_max: int) -> None:
        """A fresh connection: every lane starts behind its watermark."""
        self._forget_fetched()
        self.window.connected({lane: marks.committed for lane, marks in self._store.marks().items()}, receive_max)

    def lasts(self) -> dict[Lane, int]:
        """The last frame that was written to each lane."""
        return {lane: marks.last for lane, marks in self._store.marks().items()}

    def next_frames(self, lane: Lane) -> deque[Stored]:
        """Frames after the cursor, from memory or the store; the caller takes them from the left."""
        fetched = self._fetched[lane]
        cursor = self.window.lanes[lane].cursor
        while fetched and fetched[0].seq <= cursor:
            fetched.popleft()
        if not fetched:
            fetched.extend(self._store.read(lane, cursor, acks.AWAITING_PUBACK_MAX))
        return fetched

    def go_back(self) -> None:
        """The broker refused a frame, so what was fetched behind it is not next any more."""
        self._forget_fetched()

    def tick(self, now_s: float) -> None:
        """What time alone brings: an incarnation that was lost, lanes that stall, frames that never pass."""
        if self._store.ep != self._ep:
            self._begin_incarnation()
        for lane in self.window.stalled(now_s):
            self._counts.go_backs += 1
            self._fetched[lane].clear()
            log.warning("lane_stalled", lane=lane.value, committed=self.window.lanes[lane].committed)
            if self.window.is_refused(lane):
                self._set_aside(lane)

    def take_ack(self, payload: bytes, *, is_live: bool, now_s: float) -> bool:
        """What the platform has committed; False when it says that another agent writes one of our lanes."""
        try:
            ack = acks.decode(payload)
        except acks.AckError as error:
            log.warning("ack_unreadable", error=str(error))
            return True
        self._counts.acks += 1
        ep = self._store.ep
        is_ours_alone = True
        for lane, (of, seq) in ack.a.items():
            if of == ep:
                self._acknowledged.add(lane)
                self._take_watermark(lane, seq, is_live=is_live, now_s=now_s)
                continue
            self._counts.foreign_acks += 1
            if is_live and lane in self._acknowledged:
                # Frames of an incarnation that another one followed are refused for good.
                log.error("lane_taken_over", lane=lane.value, ep=ep, by=of)
                is_ours_alone = False
        if any(of == ep for of, _ in ack.a.values()):
            for lane in Lane:
                if lane not in ack.a:
                    self.window.heard(lane)
        return is_ours_alone

    def _take_watermark(self, lane: Lane, seq: int, *, is_live: bool, now_s: float) -> None:
        last = self._store.marks()[lane].last
        committed = self.window.lanes[lane].committed
        match self.window.ack(lane, seq, last, now_s, self._jitter()):
            case Watermark.MOVED:
                self._store.release(lane, seq)
            case Watermark.SAME:
                pass
            case Watermark.WENT_BACK if not is_live:
                # A broker that restarted may have kept an old ack. If it is true, the platform says it again, live.
                log.info("ack_older", lane=lane.value, seq=seq, committed=committed)
            case Watermark.WENT_BACK:
                log.error("platform_went_back", lane=lane.value, seq=seq, committed=committed)
                self._give_up(lane, Gap(seq + 1, committed, GapReason.RELEASED), seq)
            case Watermark.AHEAD:
                log.error("platform_ahead", lane=lane.value, seq=seq, last=last)
                self._renew(lane)

    def _renew(self, lane: Lane) -> None:
        try:
            self._store.renew()
        except OutboxFullError as error:
            # The platform says the same again with its next ack.
            log.warning("incarnation_postponed", lane=lane.value, error=str(error))
            return
        self._begin_incarnation()

    def _set_aside(self, lane: Lane) -> None:
        """The frame after the watermark never passes: a gap of reason ``refused`` takes its place."""
        committed = self.window.lanes[lane].committed
        head = self._store.read(lane, committed, 1)
        if head:
            self._counts.refused += 1
            log.error("frame_refused", lane=lane.value, seq=head[0].seq)
            self._give_up(lane, Gap(committed + 1, head[0].seq, GapReason.REFUSED), committed)

    def _give_up(self, lane: Lane, gap: Gap, committed: int) -> None:
        try:
            self._store.give_up(lane, gap)
        except OutboxFullError as error:
            log.warning("gap_postponed", lane=lane.value, error=str(error))
            return
        self._fetched[lane].clear()
        self.window.rewind(lane, committed)

    def _begin_incarnation(self) -> None:
        """The store numbers anew: nothing that was outstanding counts any more."""
        self._ep = self._store.ep
        self._acknowledged.clear()
        self._forget_fetched()
        for lane, marks in self._store.marks().items():
            self.window.rewind(lane, marks.committed)

    def _forget_fetched(self) -> None:
        for fetched in self._fetched.values():
            fetched.clear()
