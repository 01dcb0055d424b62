"""A release on trial: begun by the old one, judged by the new one, ended by either the new one or the guard."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from edge_agent.remote.trial import LINK_PATIENCE, Health
from edge_agent.update.errors import UpdateError
from edge_agent.update.guard import OUTCOME, RELEASES, TRIAL, read, remove, running, switch, write

SEEN: Final = "seen.json"
LIMIT_MARGIN_S: Final = 120.0
"""What the guard waits beyond the last moment at which the release itself would judge."""
WINDOW_S: Final = 120.0
WINDOW_MAX_S: Final = 3600.0

log = structlog.get_logger()


class Seen(msgspec.Struct, frozen=True):
    """When the newest manifest whose release was ever kept was made."""

    created: datetime


class Before(msgspec.Struct, frozen=True):
    """How the gateway was with the old release: what the new one is measured by."""

    devices: frozenset[str]
    answering: frozenset[str]
    is_heard: bool
    is_outbox_full: bool


class Trial(msgspec.Struct, frozen=True):
    """What the guard reads too. ``previous`` None: the factory installation. ``failed``: why it was given up.

    ``created`` is the manifest's, remembered in ``seen.json`` once the release is kept.
    """

    version: str
    created: datetime
    previous: str | None
    window_s: float
    limit_s: float
    before: Before
    attempts: int = 0
    failed: str = ""

    @property
    def health_before(self) -> Health:
        """As the judge wants it."""
        before = self.before
        return Health(before.devices, before.answering, before.is_heard, before.is_outbox_full)


class Outcome(msgspec.Struct, frozen=True):
    """How a trial ended: ``kept``, or back to ``previous`` for ``reason``."""

    version: str
    previous: str | None
    kept: bool
    reason: str


_State = TypeVar("_State", Seen, Trial, Outcome)


def activate(home: Path, version: str, created: datetime, *, before: Health, window_s: float = WINDOW_S) -> None:
    """Let the next start be that of the staged release ``version``, on trial. Raises UpdateError.

    The caller ends the process in good order; its supervisor starts the guard, which starts the release.
    """
    if not (home / RELEASES / version).is_dir():
        msg = f"{version} is not staged"
        raise UpdateError(msg)
    previous = _previous(home)
    trial = Trial(
        version=version,
        created=created,
        previous=previous,
        window_s=window_s,
        limit_s=LINK_PATIENCE * window_s + LIMIT_MARGIN_S,
        before=Before(
            frozenset(before.devices), frozenset(before.answering), before.is_heard, before.is_outbox_full
        ),
    )  # fmt: skip
    try:
        remove(home / OUTCOME)
        write(home / TRIAL, msgspec.to_builtins(trial))
        # Until this is done the guard sees a switch that was interrupted, and stays with the old one.
        switch(home, version)
    except OSError as error:
        # Undone at once, so that the next command may try again; what the disk refuses of that, the guard undoes.
        with suppress(OSError):
            switch(home, previous)
            remove(home / TRIAL)
        msg = f"the disk does not take the switch: {error}"
        raise UpdateError(msg) from error
    log.info("release_activated", version=version, previous=trial.previous)


def _previous(home: Path) -> str | None:
    try:
        return running(home)
    except OSError as error:
        msg = f"it cannot be told which release runs: {error}"
        raise UpdateError(msg) from error


def pending(home: Path) -> Trial | None:
    """The release on trial, None when there is none, or its file is damaged. Raises OSError."""
    return _read(home / TRIAL, Trial)


def confirm(home: Path) -> None:
    """Keep the release on trial. May be repeated; raises OSError."""
    trial = pending(home)
    if trial is None:
        return
    # Not before: a manifest whose release could not be switched to, or was taken back, may be followed again.
    write(home / SEEN, msgspec.to_builtins(Seen(trial.created)))
    outcome = Outcome(trial.version, trial.previous, kept=True, reason="")
    write(home / OUTCOME, msgspec.to_builtins(outcome))
    remove(home / TRIAL)
    log.info("release_kept", version=trial.version)


def reject(home: Path, reason: str) -> None:
    """Give the release on trial up: the next start is that of the one before. Raises OSError."""
    trial = pending(home)
    if trial is None:
        return
    write(home / TRIAL, msgspec.to_builtins(msgspec.structs.replace(trial, failed=reason or "it gave itself up")))
    log.warning("release_rejected", version=trial.version, reason=reason)


def outcome(home: Path) -> Outcome | None:
    """How the last trial ended, None while one goes on, none was ever, or the file is damaged. Raises OSError."""
    return None if pending(home) is not None else _read(home / OUTCOME, Outcome)


def newest_followed(home: Path) -> datetime | None:
    """When the newest manifest whose release was ever kept was made. Raises OSError."""
    seen = _read(home / SEEN, Seen)
    return None if seen is None else seen.created


def _read(path: Path, kind: type[_State]) -> _State | None:
    state = read(path)
    if state is None:
        return None
    try:
        return msgspec.convert(state, kind)
    except (msgspec.ValidationError, ValueError) as error:
        log.warning("update_state_damaged", file=path.name, error=str(error))
        return None
