"""The remote part of a running agent: takes what the platform says, and lets two threads deal with it.

``remote`` tries configurations and tells answers; ``commands`` acts on commands, which may take their time (an
update is fetched), so that nobody waits for them. What the platform says is on the disk before the broker hears
that it was received.
"""

import os
import threading
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from contracts.commands import CommandKind
from contracts.topics import Down
from edge_agent.remote import commands, desired
from edge_agent.remote.answers import Teller
from edge_agent.remote.configs import Configurator
from edge_agent.remote.executor import Action, Executor
from edge_agent.remote.host import Host, HostStoppingError
from edge_agent.remote.store import RemoteStore, StoreError
from edge_agent.threads import thread_in_context
from edge_agent.uplink.downlink import NotStoredError

TICK_S: Final = 1.0
ANSWER_TICK_S: Final = 0.05
"""So soon it is looked again whether an answer is on the disk and the next may follow."""

log = structlog.get_logger()


class Remote:
    """``start`` it, ``stop`` it; ``receive`` is the sender's ``on_down``. ``polling_lock``: see ``Configurator``."""

    def __init__(
        self, store: RemoteStore, host: Host, actions: Mapping[CommandKind, Action], polling_lock: threading.Lock
    ) -> None:
        self._store = store
        self._host = host
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._orders = threading.Event()
        self._teller = Teller(store, host.outbox, host.tell)
        self.configurator = Configurator(store, host, polling_lock)
        self.executor = Executor(store, host, actions, os.urandom(8).hex())
        self._threads = [
            thread_in_context(lambda: self._guard(self._follow), "remote"),
            thread_in_context(lambda: self._guard(self._obey), "commands"),
        ]
        self.repeated = 0
        """Commands that came again; and below: what was no command or configuration at all."""
        self.unreadable = 0
        self.error: Exception | None = None
        """Why a thread ended by itself, if one did."""

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what is on trial, or not acted on yet, is left to the next process."""
        self._stopping.set()
        self._news.set()
        self._orders.set()
        for thread in self._threads:
            thread.join()
        try:
            self.configurator.shelve()
        except StoreError as error:
            log.warning("remote_store_refused", error=str(error))

    def receive(self, kind: Down, payload: bytes) -> None:
        """Store what the platform said. Raises NotStoredError when the disk does not take it."""
        now = self._host.clock.now()
        try:
            if kind is Down.CMD:
                command = commands.decode(payload, now, self._host.clock.boot)
                if not self._store.add_command(command):
                    self.repeated += 1
                    log.info("command_repeated", command=command.id)
                self._orders.set()
            elif kind is Down.CFG and payload:  # an empty retained message takes the one before away
                desired.receive(self._store, desired.decode(payload), now.utc_ms)
            self._news.set()
        except (commands.CommandError, desired.DesiredError) as error:
            self.unreadable += 1
            log.warning("downlink_unreadable", kind=kind.value, error=str(error))
        except StoreError as error:
            raise NotStoredError(str(error)) from error

    # ------------------------------------------------------------------ threads

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except HostStoppingError:
            return
        except Exception as error:  # outermost loop of the thread
            self.error = error
            log.exception("remote_died")
            raise

    def _follow(self) -> None:
        """Configurations and answers."""
        while not self._stopping.is_set():
            telling = False
            try:
                self.configurator.step()
                telling = self._teller.tell()
            except StoreError as error:
                log.warning("remote_store_refused", error=str(error))
            self._news.wait(ANSWER_TICK_S if telling else TICK_S)
            self._news.clear()

    def _obey(self) -> None:
        """Commands."""
        is_recovered = False
        while not self._stopping.is_set():
            try:
                if not is_recovered:
                    self.executor.recover()
                    is_recovered = True
                self.executor.step()
            except StoreError as error:
                log.warning("remote_store_refused", error=str(error))
            self._news.set()
            self._orders.wait(TICK_S)
            self._orders.clear()
