"""Tries what is desired, watches how the gateway fares with it, and goes back by itself when it is worse."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from contracts.errors import UserError
from edge_agent.remote.desired import carry, settings_of
from edge_agent.remote.host import Host
from edge_agent.remote.store import ConfigState, RemoteStore, StoredConfig
from edge_agent.remote.trial import Health, Verdict, judge
from edge_agent.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Trial:
    config: StoredConfig
    before: Health
    began_s: float
    back: Settings
    memories: Mapping[str, bytes]


class Configurator:
    """Belongs to one thread, which calls ``step`` often. ``polling_lock`` is held while the polling is replaced."""

    def __init__(self, store: RemoteStore, host: Host, polling_lock: threading.Lock) -> None:
        self._store = store
        self._host = host
        self._polling_lock = polling_lock
        self._trial: _Trial | None = None
        self._owed: tuple[StoredConfig, str] | None = None
        """A configuration that was given up already, and why, while the disk did not take it."""
        self.outcomes: Counter[str] = Counter()
        """Configurations since the start, by what became of them."""

    @property
    def version(self) -> int | None:
        """Version of the configuration that is applied; None: edge.toml alone is in force."""
        applied = self._store.config(ConfigState.APPLIED)
        return None if applied is None else applied.version

    @property
    def is_trying(self) -> bool:
        """Whether another one is on trial."""
        return self._trial is not None

    def step(self) -> None:
        """Judge what is on trial, or try what waits. Raises StoreError (call again), HostStoppingError."""
        if self._owed is not None:
            self._refuse(*self._owed)
        if self._trial is not None:
            self._judge(self._trial)
            return
        waiting = self._store.config(ConfigState.STORED)
        if waiting is not None:
            self._begin(waiting)

    def shelve(self) -> None:
        """The agent ends in good order: what is on trial is tried again by the next one. Raises StoreError."""
        if self._trial is not None:
            self._store.shelve_config(self._trial.config, self._now_ms())
            self._trial = None

    def _begin(self, config: StoredConfig) -> None:
        applied = self._store.config(ConfigState.APPLIED)
        if applied is not None and applied.sha256 == config.sha256:
            self._keep(config)
            return
        try:
            settings = settings_of(self._host.base, config)
        except UserError as error:
            self._refuse(config, error.message)
            return
        if not self._host.has_settled():
            return
        before = self._host.health()
        memories = self._host.outbox.slots() | self._host.polling.memories()
        # On the disk before it is tried: whoever finds it there after a crash goes back.
        self._store.try_config(config, memories, self._now_ms())
        back = self._host.polling.settings
        with self._polling_lock:
            self._host.swap(settings, memories)
        self._trial = _Trial(config, before, time.monotonic(), back, memories)
        log.info("config_on_trial", version=config.version, window_s=self._host.base.health_window_s)

    def _judge(self, trial: _Trial) -> None:
        elapsed_s = time.monotonic() - trial.began_s
        verdict, reason = judge(trial.before, self._host.health(), elapsed_s, self._host.base.health_window_s)
        if verdict is Verdict.KEEP:
            self._keep(trial.config)
            self._trial = None
        elif verdict is Verdict.ROLL_BACK:
            polling = self._host.polling
            with self._polling_lock:
                now = self._host.outbox.slots() | polling.memories()
                kept = carry(now, trial.memories, polling.settings.slots, trial.back.slots)
                self._host.swap(trial.back, kept)
            log.error("config_rolled_back", version=trial.config.version, error=reason)
            self._trial = None
            self._refuse(trial.config, reason)

    def _keep(self, config: StoredConfig) -> None:
        self._store.apply_config(config, self._now_ms())
        self.outcomes["applied"] += 1
        log.info("config_applied", version=config.version, sha256=config.sha256)

    def _refuse(self, config: StoredConfig, error: str) -> None:
        self._owed = config, error
        self._store.refuse_config(config, error, self._now_ms())
        self._owed = None
        self.outcomes["refused"] += 1
        log.warning("config_refused", version=config.version, error=error)

    def _now_ms(self) -> int:
        return self._host.clock.now().utc_ms
