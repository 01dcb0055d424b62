"""What is done to the stack: a table of faults, each of which real systems suffer.

A scene returns what did not hold while it lasted; that nothing was lost is proved after each of them.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from contracts.topics import Lane, up
from deploy.chaos.wire import listen, publish
from deploy.chaos.world import NOBODY, SMALL_DISK, World
from deploy.demo import market
from deploy.demo.scene import edge_name
from simulators.faults import Direction
from simulators.links import Message
from simulators.poison import poisons

AWAY_S: Final = 15.0
BAD_LINE_S: Final = 8.0
LATENCY_S: Final = 0.4
SLICE_BYTES: Final = 7
CUTS: Final = 5
COPIES: Final = 3
LISTEN_S: Final = 4.0
FRAMES_MAX: Final = 200
STALL_S: Final = 10.0
GROWTH_MAX_MIB: Final = 200.0
"""How much the stream may grow while the database stalls: what it holds is bounded."""
FLOOD_S: Final = 6.0
FLOOD_CLIENTS: Final = 100
FLOOD_ANSWERS: Final = frozenset({200, 429, 503})
BALLAST_BYTES: Final = 4_096
FENCED: Final = 75
WITHIN_S: Final = 90.0


class Scene(NamedTuple):
    """A fault. ``play`` breaks and mends; ``missing`` says why it cannot be played here, '' when it can."""

    name: str
    what: str
    play: Callable[[World], list[str]]
    missing: Callable[[World], str] = lambda _: ""


def wipe_broker(world: World) -> list[str]:
    """The broker dies and all of its state with it."""
    world.kill("broker")
    world.stack.broker.wipe()
    return []


def kill_database(world: World) -> list[str]:
    """PostgreSQL dies and recovers from its log."""
    world.kill("postgres")
    return []


def take_database_away(world: World) -> list[str]:
    """PostgreSQL dies and is not there for a while."""
    world.kill("postgres")
    world.leave_dead(AWAY_S)
    return []


def kill_stream(world: World) -> list[str]:
    """The dataflow dies."""
    world.kill("stream")
    return []


def kill_stream_twice(world: World) -> list[str]:
    """The dataflow dies, and again as soon as it is back, within its first epoch."""
    world.kill("stream")
    broken = _comes_back(world, "stream")
    world.kill("stream")
    return broken


def lose_recovery(world: World) -> list[str]:
    """The dataflow dies and its recovery store is gone."""
    world.kill("stream")
    shutil.rmtree(world.stack.state.stream / "recovery", ignore_errors=True)
    return []


def kill_gateways(world: World) -> list[str]:
    """One gateway after the other loses its power, at any moment of its work."""
    for store in world.rng.sample(market.STORES, k=3):
        world.kill(edge_name(store))
        world.hold(world.rng.uniform(0.1, 3.0))
    return []


def fill_disk(world: World) -> list[str]:
    """The disk of a gateway's outbox is full, and later has room again."""
    assert world.small_disk is not None
    log = world.stack.state.logs / f"{edge_name(SMALL_DISK)}.log"
    seen = log.stat().st_size
    ballast = world.small_disk / "ballast"
    # What is committed gives room back, so nothing may be.
    world.kill("stream")
    try:
        _fill(ballast)
        refused = world.leave_dead(WITHIN_S, lambda: b"outbox_refused" in log.read_bytes()[seen:])
    finally:
        ballast.unlink(missing_ok=True)
    recovered = world.tick_until(lambda: b"outbox_recovered" in log.read_bytes()[seen:], WITHIN_S)
    return ([] if refused else ["the gateway did not say that its disk is full"]) + (
        [] if recovered else ["the gateway did not say that its disk has room again"]
    )


def no_disk_of_its_own(world: World) -> str:
    """Why a disk cannot be filled."""
    return "" if world.small_disk is not None else "no file system can be mounted here"


def go_deaf_up(world: World) -> list[str]:
    """Nothing that gateways send arrives, although their connections stand."""
    return _blackhole(world, Direction.UP)


def go_deaf_down(world: World) -> list[str]:
    """What gateways send arrives, and no answer comes back."""
    return _blackhole(world, Direction.DOWN)


def worsen_line(world: World) -> list[str]:
    """The line is slow and breaks every packet into slices."""
    world.proxy.latency_s, world.proxy.slice_bytes = LATENCY_S, SLICE_BYTES
    world.hold(BAD_LINE_S)
    world.proxy.latency_s, world.proxy.slice_bytes = 0.0, 0
    return []


def cut_line(world: World) -> list[str]:
    """The line is cut again and again, and refused for a while."""
    for _ in range(CUTS):
        world.proxy.cut()
        world.hold(world.rng.uniform(0.2, 1.5))
    world.proxy.refusing = True
    world.proxy.cut()
    world.hold(BAD_LINE_S / 2)
    world.proxy.refusing = False
    return []


def repeat_frames(world: World) -> list[str]:
    """Every frame of some seconds is published three times more, in any order."""
    url = world.stack.broker.url
    heard = listen(url, f"sp/v1/up/+/{market.TENANT}/#", seconds=LISTEN_S, at_most=FRAMES_MAX)
    copies = heard * COPIES
    world.rng.shuffle(copies)
    publish(url, copies)
    return [] if heard else [f"no gateway published anything for {LISTEN_S:.0f} s"]


def poison(world: World) -> list[str]:
    """A gateway publishes what none may: each is refused for its own reason, and its lane goes on."""
    ep = f"{world.rng.randrange(36**6):06x}"[:6]
    held = "SELECT coalesce(max(quarantine_id), 0) FROM quarantine"
    before = world.ask(held) or 0
    seq, messages = 1, []
    sent, settled = Counter[str](), Counter[str]()
    for name in [each.name for each in poisons(ep, 1, 0)]:
        one = next(each for each in poisons(ep, seq, time.time_ns() // 1_000_000) if each.name == name)
        messages.append(Message(up(NOBODY, Lane.TEL), one.payload))
        sent[one.reason] += 1
        settled[one.reason] += one.settled
        seq += one.settled
    publish(world.stack.broker.url, messages)
    passed = "SELECT coalesce(max(seq), 0) FROM ingest_watermark WHERE gateway_id = %s AND ep = %s"
    if not world.tick_until(lambda: world.ask(passed, NOBODY.gateway, ep) == seq - 1, WITHIN_S):
        return [f"the lane of poison stands at {world.ask(passed, NOBODY.gateway, ep)}, not at {seq - 1}"]
    # All with a place are kept, of those without one a sample.
    found = "SELECT count(*) FROM quarantine WHERE quarantine_id > %s AND gateway_id = %s AND reason = %s"
    kept = {reason: world.ask(found, before, NOBODY.gateway, reason) or 0 for reason in sent}
    return [f"{kept[reason]} of {sent[reason]} messages are held as {reason}, not {settled[reason]} at least"
            for reason in sent if not settled[reason] <= kept[reason] <= sent[reason]]  # fmt: skip


def stall_database(world: World) -> list[str]:
    """Nothing can be written to the readings for a while, as behind a forgotten lock."""
    before_mib = world.rss_mib("stream")
    with closing(world.connect()) as connection, connection.transaction():
        connection.execute("LOCK TABLE reading IN ACCESS EXCLUSIVE MODE")
        world.hold(STALL_S)
    grown_mib = world.rss_mib("stream") - before_mib
    return [f"the stream grew by {grown_mib:.0f} MiB meanwhile"] if grown_mib > GROWTH_MAX_MIB else []


def start_second_stream(world: World) -> list[str]:
    """A second dataflow is started for the same buckets: the fence lets one of them go on."""
    elsewhere = world.stack.state.root / "second"
    elsewhere.mkdir(exist_ok=True)
    second = world.stack.start_once("second-stream", "stream", "run", extra={"SHELFPULSE_STATE": str(elsewhere)})
    try:
        world.tick_until(lambda: second.poll() is not None, WITHIN_S)
        code = second.poll()
    finally:
        second.stop()
        shutil.rmtree(elsewhere, ignore_errors=True)
    return [] if code == FENCED else [f"the second dataflow ended with {code}, not with {FENCED} for the fence"]


def flood_api(world: World) -> list[str]:
    """Far more requests than the API can answer: some are turned away, and readings go on."""
    end_s = time.monotonic() + FLOOD_S

    def client() -> Counter[int | str]:
        answers: Counter[int | str] = Counter()
        headers = {"Authorization": f"Bearer {world.api_key}"}
        with httpx.Client(base_url=world.stack.api_url, headers=headers, timeout=30.0, trust_env=False) as http:
            while time.monotonic() < end_s:
                try:
                    answers[http.get("/v1/events", params={"limit": 100}).status_code] += 1
                except httpx.TransportError as error:
                    answers[type(error).__name__] += 1
        return answers

    before = world.counts()
    with ThreadPoolExecutor(FLOOD_CLIENTS) as clients:
        running = [clients.submit(client) for _ in range(FLOOD_CLIENTS)]
        world.hold(FLOOD_S)
        after = world.counts()
        answers = sum((each.result() for each in running), Counter[int | str]())
    broken = [f"{count} requests were answered with {answer}" for answer, count in answers.items()
              if answer not in FLOOD_ANSWERS]  # fmt: skip
    if before is None or after is None or after.committed <= before.committed:
        broken.append("no reading was committed meanwhile")
    return broken


def not_ours_to_kill(world: World) -> str:
    """Why the database cannot be killed."""
    return "" if world.stack.postgres is not None else "the database of --dsn is not ours to kill"


SCENES: Final = (
    Scene("broker-wiped", "the broker is killed and its state wiped", wipe_broker),
    Scene("database-killed", "the database is killed", kill_database, not_ours_to_kill),
    Scene("database-away", f"the database is away for {AWAY_S:.0f} s", take_database_away, not_ours_to_kill),
    Scene("database-stalled", f"the database stalls for {STALL_S:.0f} s", stall_database),
    Scene("stream-killed", "the dataflow is killed", kill_stream),
    Scene("stream-killed-twice", "the dataflow is killed twice in a row", kill_stream_twice),
    Scene("recovery-lost", "the dataflow is killed and its recovery store removed", lose_recovery),
    Scene("second-stream", "a second dataflow is started for the same buckets", start_second_stream),
    Scene("gateways-killed", "three gateways lose their power", kill_gateways),
    Scene("disk-full", "the disk of a gateway is full", fill_disk, no_disk_of_its_own),
    Scene("network-deaf-up", "nothing of the gateways arrives", go_deaf_up),
    Scene("network-deaf-down", "nothing comes back to the gateways", go_deaf_down),
    Scene("network-slow", "the gateways' line is slow and sliced", worsen_line),
    Scene("network-cut", "the gateways' line is cut again and again", cut_line),
    Scene("frames-repeated", "every frame is published three times more, shuffled", repeat_frames),
    Scene("poison", "a gateway publishes what none may", poison),
    Scene("api-flooded", f"{FLOOD_CLIENTS} clients ask the API without a pause", flood_api),
)


def _blackhole(world: World, direction: Direction) -> list[str]:
    world.proxy.blackholes = frozenset({direction})
    world.hold(BAD_LINE_S)
    # What was under way is gone, as after any reset.
    world.proxy.cut()
    world.proxy.blackholes = frozenset()
    return []


def _fill(ballast: Path) -> None:
    """Write until nothing fits any more."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(BALLAST_BYTES))


def _comes_back(world: World, name: str) -> list[str]:
    in_time = world.tick_until(lambda: world.is_serving(name), WITHIN_S)
    return [] if in_time else [f"{name} was not back within {WITHIN_S:.0f} s"]
