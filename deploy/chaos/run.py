"""The order of events: the stack is started, broken scene by scene, proved after each, and drawn up in the end."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import psycopg

from contracts.errors import UserError
from deploy.bench.scratch import clean_environment, scratch_database, versions
from deploy.bench.usage import describe_machine
from deploy.chaos.scenes import SCENES, Scene
from deploy.chaos.world import World, opened_world
from deploy.demo import market
from deploy.local.closing import Summary, drain, summarise
from deploy.local.figures import Tally
from deploy.local.interrupts import Interrupts
from deploy.verify import verify
from stream import storage


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command was told. ``scenes`` that are named are played once each; without, all of them for so long.

    ``dsn`` names a server to make a database on.
    """

    minutes: float
    seed: int
    scenes: tuple[str, ...]
    dsn: str


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """A scene. ``recovery_s``: from its end until all that was written by then was committed; None: not in time."""

    scene: str
    at_s: float
    recovery_s: float | None
    broken: list[str]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The account. ``left_out`` says of each scene that was not played why; counts are those of ``up --for``."""

    ok: bool
    played: list[Played]
    left_out: dict[str, str]
    recovery_worst_s: float | None
    readings_sent: int | None
    readings_committed: int
    gaps: int
    quarantined: int
    verify: str | list[str]
    machine: str
    versions: dict[str, str]
    tier: str
    seed: int
    seconds: float
    state: str


def named(names: Sequence[str]) -> list[Scene]:
    """The named scenes, all when none is named. Raises UserError for a name that there is not."""
    known = {scene.name: scene for scene in SCENES}
    unknown = [name for name in names if name not in known]
    if unknown:
        message = f"there is no scene {unknown[0]!r}"
        raise UserError(message, f"there are {', '.join(known)}")
    return [known[name] for name in names] or list(SCENES)


def order(scenes: Sequence[Scene], rng: Random) -> Iterator[Scene]:
    """Without an end: every scene once in an order of its own, then every one again."""
    while True:
        yield from rng.sample(scenes, k=len(scenes))


def run(options: Options, say: Callable[[str], None]) -> Result:
    """Break a stack of its own for so long and prove it. Raises UserError, and KeyboardInterrupt when asked to stop.

    The state directory is kept, for its logs, unless all is well.
    """
    scenes = named(options.scenes)
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-chaos-"))
    # The database's and the broker's unprivileged users have their folders in it.
    home.chmod(0o711)
    result: Result | None = None
    try:
        with scratch_database(options.dsn) as dsn, Interrupts(lambda: None) as interrupts:
            rng = Random(options.seed)  # noqa: S311 - an experiment, to be repeated
            with opened_world(home, say, clean_environment(dsn), rng, interrupts.asked) as world:
                result = _Run(options, world, scenes, say).play()
    finally:
        if result is None or not result.ok:
            say(f"logs and data are in {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)
    return result


class _Run:
    """One run in a world that was not started yet."""

    def __init__(self, options: Options, world: World, scenes: Sequence[Scene], say: Callable[[str], None]) -> None:
        missing = {scene.name: scene.missing(world) for scene in scenes}
        self._left_out = {name: why for name, why in missing.items() if why}
        self._scenes = [scene for scene in scenes if not missing[scene.name]]
        self._options = options
        self._world = world
        self._say = say
        self._began_s = time.monotonic()
        self._played: list[Played] = []

    def play(self) -> Result:
        """Start, break, stop the gateways, and draw up the account."""
        self._say("starting the demo's shelves and gateways on a stack of their own")
        self._world.start()
        end_s = time.monotonic() + self._options.minutes * 60
        for scene in self._scenes if self._options.scenes else order(self._scenes, self._world.rng):
            # A run that is shorter than its first scene is still one.
            if self._played and not self._options.scenes and time.monotonic() >= end_s:
                break
            self._played.append(self._play(scene))
            if self._played[-1].recovery_s is None:
                break
        seen = {each.scene for each in self._played}
        self._left_out |= {scene.name: "the time was over" for scene in self._scenes if scene.name not in seen}
        return self._close()

    def _play(self, scene: Scene) -> Played:
        at_s = round(time.monotonic() - self._began_s, 1)
        self._say(f"{scene.name}: {scene.what}")
        broken = scene.play(self._world)
        recovery_s = self._world.recover()
        if recovery_s is None:
            broken = [*broken, "what was written was not committed in time"]
        else:
            broken = [*broken, *self._proved()]
        self._say(f"  committed again after {recovery_s} s" + "".join(f"\n  BROKEN: {what}" for what in broken))
        return Played(scene=scene.name, at_s=at_s, recovery_s=recovery_s, broken=broken)

    def _proved(self) -> list[str]:
        report = verify(self._world.stack.dsn)
        return [f"{one.invariant} {one.where}: {one.what}" for one in report.broken]

    def _close(self) -> Result:
        self._say("stopping the gateways; they hand over what they hold")
        self._world.demo.stop_gateways()
        written = self._world.written()
        with psycopg.connect(self._world.stack.dsn, autocommit=True) as connection:
            counts = drain(connection, market.TENANT, written.readings)
        self._say("verifying")
        report = verify(self._world.stack.dsn, written.accounts)
        broken = [f"{one.invariant} {one.where}: {one.what}" for one in report.broken]
        summary: Summary = summarise(written, counts, Tally(), broken)
        with storage.connect(self._world.stack.dsn, application="shelfpulse chaos") as connection:
            tier = storage.probe_tier(connection)
            found = versions(connection, str(self._world.stack.broker.kind))
        recoveries = [each.recovery_s for each in self._played if each.recovery_s is not None]
        ok = summary.is_ok and bool(self._played) and not any(each.broken for each in self._played)
        return Result(
            ok=ok,
            played=self._played,
            left_out=self._left_out,
            recovery_worst_s=max(recoveries, default=None),
            readings_sent=summary.readings_sent,
            readings_committed=summary.readings_committed,
            gaps=summary.gaps,
            quarantined=summary.quarantined,
            verify=summary.verify,
            machine=describe_machine(),
            versions=found,
            tier=tier,
            seed=self._options.seed,
            seconds=round(time.monotonic() - self._began_s, 1),
            state="" if ok else str(self._world.stack.state.root),
        )
