"""``shelfpulse bench uplink``: what a gateway's sender and outbox do, with a broker and a platform beside.

Of one run: frames a second that the sender publishes and the broker acknowledges (from memory), frames a second from
a backlog to committed (from memory, and with the outbox on disk), and frames a second that the outbox alone takes. The
platform runs in a process of its own, commits in order and acknowledges: 20 times a second where the sender is
measured, once a second, as the stream does, where a backlog drains. Then at most 4,096 frames a second can be
committed: the window of the protocol.
"""

import multiprocessing
import resource
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contracts import acks, topics
from contracts.errors import UserError
from contracts.frames import PROTOCOL_VERSION, TelemetryFrame, decode
from contracts.topics import Down, GatewayAddress, Lane
from deploy.local.account import hand_over, service_account
from deploy.local.broker import BrokerKind, local_broker
from deploy.local.deadline import wait_until
from deploy.local.ports import free_port
from deploy.local.process import Child
from deploy.local.state import Secrets
from edge_agent.clock import SystemClock
from edge_agent.outbox.builder import UNNUMBERED
from edge_agent.outbox.file import Entry, Outbox
from edge_agent.outbox.store import FrameStore, MemoryStore
from edge_agent.settings import Broker, parse_broker
from edge_agent.uplink.sender import Sender

HERE: Final = GatewayAddress("bench", "store-01", "gw-01")
LANE: Final = Lane.TEL
START_S: Final = 10.0
DEADLINE_S: Final = 120.0
GROUP_FRAMES: Final = 100
"""Frames of one group commit, as the agent writes 20,000 values a second in groups of 100 ms with room to spare."""


class UplinkResult(msgspec.Struct, frozen=True):
    """Rates in frames a second, of ``readings_per_frame`` readings; CPU time of the sender's process for one frame."""

    broker: str
    frames: int
    readings_per_frame: int
    sender_msg_per_s: float
    sender_cpu_us: float
    committed_per_s_acks_once_a_second: float
    outbox_frames_per_s: float
    outbox_to_committed_per_s: float
    peak_rss_mib: float


def run_uplink(frames: int, readings_per_frame: int = 50, kind: BrokerKind | None = None) -> UplinkResult:
    """Measure on a broker of our own, which leaves nothing behind. Raises UserError when there is none."""
    with _own_broker(kind) as (url, device, name), tempfile.TemporaryDirectory() as folder:
        fast = _run_from_memory(url, device, frames, readings_per_frame, ack_every_s=0.05)
        slow = _run_from_memory(url, device, frames, readings_per_frame, ack_every_s=acks.ACK_INTERVAL_S)
        outbox = Outbox(Path(folder) / "outbox.db", machine="bench", max_bytes=1 << 31)
        outbox.open()
        try:
            written_s, committed_s = _run_from_disk(outbox, url, device, frames, readings_per_frame)
        finally:
            outbox.close()
    return UplinkResult(
        broker=name,
        frames=frames,
        readings_per_frame=readings_per_frame,
        sender_msg_per_s=round(frames / fast.published_s),
        sender_cpu_us=round(fast.cpu_s / frames * 1e6, 1),
        committed_per_s_acks_once_a_second=round(frames / slow.committed_s),
        outbox_frames_per_s=round(frames / written_s),
        outbox_to_committed_per_s=round(frames / committed_s),
        peak_rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


class _Times(msgspec.Struct, frozen=True):
    published_s: float
    committed_s: float
    cpu_s: float


def _run_from_memory(url: str, device: Broker, frames: int, readings: int, *, ack_every_s: float) -> _Times:
    ep = secrets.token_hex(5)  # the broker still has the ack of another run
    store = MemoryStore(ep)
    for seq in range(1, frames + 1):
        store.put(LANE, _frame(ep, seq, readings))
    with _platform(url, ack_every_s), _sending(store, device) as sender:
        _wait(lambda: sender.is_connected)
        started_s, cpu_s = time.monotonic(), time.process_time()
        _wait(lambda: sender.counts.pubacks >= frames)
        published_s, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_s
        _wait(lambda: store.marks()[LANE].committed == frames)
        return _Times(published_s, time.monotonic() - started_s, cpu_s)


def _run_from_disk(outbox: Outbox, url: str, device: Broker, frames: int, readings: int) -> tuple[float, float]:
    """Seconds to write all frames in groups, and seconds until all of another such lot are committed."""
    started_s = time.monotonic()
    _write(outbox, frames, readings)
    written_s = time.monotonic() - started_s
    with _platform(url, acks.ACK_INTERVAL_S), _sending(outbox, device):
        started_s = time.monotonic()
        _wait(lambda: outbox.marks()[LANE].committed == frames)
        return written_s, time.monotonic() - started_s


def _write(outbox: Outbox, frames: int, readings: int) -> None:
    group = [Entry(LANE, _frame(UNNUMBERED, 1, readings), readings)] * GROUP_FRAMES
    for start in range(0, frames, GROUP_FRAMES):
        outbox.write(group[: frames - start])


def _frame(ep: str, seq: int, readings: int) -> TelemetryFrame:
    channels = [f"bay{number:02d}.weight_g" for number in range(20)]
    return TelemetryFrame(
        v=PROTOCOL_VERSION, ep=ep, seq=seq, t0=1_800_000_000_000, ch=channels,
        i=[number % len(channels) for number in range(readings)], d=list(range(readings)),
        x=[4213.5 + number for number in range(readings)],
    )  # fmt: skip


@contextmanager
def _sending(store: FrameStore, device: Broker) -> Iterator[Sender]:
    sender = Sender(address=HERE, broker=device, store=store, clock=SystemClock(), agent="bench")
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


def _wait(condition: Callable[[], bool]) -> None:
    if not wait_until(condition, DEADLINE_S):
        msg = f"the frames did not arrive within {DEADLINE_S:.0f} s"
        raise UserError(msg, "take fewer with --frames")


@contextmanager
def _own_broker(kind: BrokerKind | None) -> Iterator[tuple[str, Broker, str]]:
    """URL for the platform, address for the gateway, and the broker's name."""
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-bench-"))
    account = service_account()
    hand_over(home, account)
    passwords = Secrets(database="", platform="platform", device="device", signing="")
    broker = local_broker(home, free_port(), passwords, home / "broker.log", account, kind)
    broker.prepare()
    spec = broker.spec()
    child = Child(spec)
    try:
        if not wait_until(lambda: child.poll() is None and spec.is_ready(), START_S):
            msg = f"the broker did not start: {spec.log.read_text()[-500:]}"
            raise UserError(msg)
        yield broker.url, parse_broker(broker.device_url, "broker"), broker.kind.value
    finally:
        child.kill()
        shutil.rmtree(home)


# ---------------------------------------------------------------------- the platform, in a process of its own


@contextmanager
def _platform(url: str, ack_every_s: float) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_commit_in_order, args=(url, ack_every_s, theirs), daemon=True)
    process.start()
    try:
        if not ours.poll(START_S):
            msg = "the platform of the measurement did not start"
            raise UserError(msg)
        yield
    finally:
        ours.close()
        process.join(START_S)


def _commit_in_order(url: str, ack_every_s: float, parent: Connection) -> None:
    """Take the next frame of the lane, drop others, acknowledge; until ``parent`` closes its end."""
    broker = parse_broker(url, "broker")
    marks: dict[Lane, tuple[str, int]] = {}
    subscribed = threading.Event()

    def take(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        frame = decode(LANE, bytes(message.payload))
        ep, seq = marks.get(LANE, ("", 0))
        if frame.seq == (seq + 1 if frame.ep == ep else 1):
            marks[LANE] = (frame.ep, frame.seq)

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(broker.username or "", broker.password)
    client.on_message = take
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(broker.host, broker.port)
    client.subscribe(topics.up(HERE, LANE), 1)
    client.loop_start()
    subscribed.wait(START_S)
    parent.send("ready")
    said: tuple[str, int] | None = None
    while not parent.poll(ack_every_s):
        mark = marks.get(LANE)
        if mark is not None and mark != said:
            client.publish(topics.down(HERE, Down.ACK), acks.encode({LANE: mark}), qos=1)
            said = mark
    client.disconnect()
    client.loop_stop()
