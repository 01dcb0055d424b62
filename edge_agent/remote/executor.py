"""Acts on commands, each once.

stored -> acting -> done | failed, each step on the disk before the next begins. A process that finds a command in
``acting`` died in the middle of it: nobody knows how far it came, so it is told as failed, "interrupted", and never
done again. A command that ends the process on purpose (restart, update) passes through ``leaving``, and the process
that comes after says how it went.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import structlog

from contracts.commands import CommandKind
from edge_agent.remote.commands import is_expired, kind_of
from edge_agent.remote.host import Host, HostStoppingError
from edge_agent.remote.store import CommandState, RemoteStore, StoredCommand, StoreError

INTERRUPTED: Final = "interrupted: the agent ended in the middle of it, and it is not known how far it came"
RESULT_MAX_BYTES: Final = 48 * 1024
"""A result travels in one frame, with its envelope."""
ERROR_MAX: Final = 500

log = structlog.get_logger()


class ActionError(Exception):
    """The act failed; the text says why, for people."""


class Leave(NamedTuple):
    """The act goes on in the process that comes after this one, which gets ``note``."""

    note: Mapping[str, Any]


class Returned(NamedTuple):
    """How an act that ended the process went: ``error`` '' for well."""

    result: Mapping[str, Any]
    error: str = ""


class Action(Protocol):
    """What a kind of command does. Raises ActionError."""

    def act(self, args: Mapping[str, Any]) -> Mapping[str, Any] | Leave:
        """Do it; the result for the platform, or Leave."""

    def look_back(self, note: Mapping[str, Any]) -> Returned | None:
        """After a start: how it went, None while that is not known yet."""


class Executor:
    """Belongs to one thread, which calls ``step`` when a command came. ``run`` names this run of the process."""

    def __init__(self, store: RemoteStore, host: Host, actions: Mapping[CommandKind, Action], run: str) -> None:
        self._store = store
        self._host = host
        self._actions = actions
        self._run = run
        self._owed: tuple[StoredCommand, CommandState, Mapping[str, Any], str] | None = None
        """A command that was acted on, and how it ended, while the disk did not take it."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Commands since the start by kind and final state."""

    def recover(self) -> None:
        """Before the first ``step``: give up what was being acted on when the process before this one ended."""
        for command in self._store.open_commands():
            if command.state is CommandState.ACTING:
                self._finish(command, CommandState.FAILED, {}, INTERRUPTED)

    def step(self) -> None:
        """Act on what waits, in order. Raises StoreError (call again)."""
        if self._owed is not None:
            self._finish(*self._owed)
        for command in self._store.open_commands():
            match command.state:
                case CommandState.STORED:
                    if self._begin(command):
                        return
                case CommandState.LEAVING if command.note["run"] != self._run:
                    self._look_back(command)
                case _:
                    pass

    def _begin(self, command: StoredCommand) -> bool:
        """Act on a command; True when the process is about to end."""
        kind = kind_of(command)
        if is_expired(command, self._host.clock.now(), self._host.clock.boot):
            self._finish(command, CommandState.EXPIRED, {}, "")
            return False
        action = None if kind is None else self._actions.get(kind)
        if action is None:
            self._finish(command, CommandState.FAILED, {}, f"this agent knows no command {command.kind!r}")
            return False
        if not self._store.begin(command.id):
            return False
        log.info("command_begun", command=command.id, kind=command.kind)
        outcome = self._act(action, command)
        if isinstance(outcome, Leave):
            self._store.leave(command.id, {**outcome.note, "run": self._run})
            log.info("command_leaves", command=command.id, kind=command.kind)
            self._host.leave()
            return True
        if isinstance(outcome, ActionError):
            self._finish(command, CommandState.FAILED, {}, str(outcome))
        else:
            self._finish(command, CommandState.DONE, outcome, "")
        return False

    def _act(self, action: Action, command: StoredCommand) -> Mapping[str, Any] | Leave | ActionError:
        try:
            return action.act(command.args)
        except ActionError as error:
            return error
        except (HostStoppingError, StoreError):
            raise
        except Exception as error:  # a defect in one action must not end the thread that answers all the others
            log.exception("command_broke", command=command.id, kind=command.kind)
            return ActionError(f"a defect of the agent: {error!r}"[:ERROR_MAX])

    def _look_back(self, command: StoredCommand) -> None:
        kind = kind_of(command)
        if kind is None or kind not in self._actions:
            # Written by a version that knew more than this one: an update that was rolled back, perhaps.
            self._finish(command, CommandState.FAILED, {}, f"this agent knows no command {command.kind!r}")
            return
        returned = self._actions[kind].look_back(command.note)
        if returned is not None:
            state = CommandState.FAILED if returned.error else CommandState.DONE
            self._finish(command, state, returned.result, returned.error)

    def _finish(self, command: StoredCommand, state: CommandState, result: Mapping[str, Any], error: str) -> None:
        size = len(msgspec.json.encode(result))
        if size > RESULT_MAX_BYTES:
            result, error = {}, f"done, but the result of {size} bytes is over {RESULT_MAX_BYTES}"
        self._owed = command, state, result, error
        self._store.finish(command.id, state, result=result, error=error)
        self._owed = None
        self.outcomes[command.kind, state.value] += 1
        log.info("command_ended", command=command.id, kind=command.kind, state=state.value, error=error)
