"""The platform's ``update`` command: ``{"manifest": URL}``, perhaps ``{"window_s": 300}``.

It is done when the new release has proved itself, which its own process judges after the restart, by the same
measure as a configuration from afar; and failed when the gateway runs the old one again.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from edge_agent.remote.executor import ActionError, Leave, Returned
from edge_agent.remote.host import Host
from edge_agent.remote.trial import Health, Verdict, judge
from edge_agent.update import staging, trial
from edge_agent.update.errors import UpdateError
from edge_agent.update.guard import HOME_VARIABLE
from edge_agent.update.hearing import Account, is_proven
from edge_agent.update.minisign import PublicKey, parse_key

KEY_FILE: Final = "update.pub"
"""Beside edge.toml; what it says is believed, so only an installer writes it (``edge claim`` does)."""
CA_FILE: Final = "ca.pem"

log = structlog.get_logger()


class Update:
    """An ``Action``. ``environ`` tells whether a guard started us, and where it keeps releases."""

    def __init__(self, host: Host, environ: Mapping[str, str] = os.environ) -> None:
        self._host = host
        self._home = environ.get(HOME_VARIABLE, "")
        self._began_s = time.monotonic()
        self._start = self._account()
        self._is_leaving = False

    def act(self, args: Mapping[str, Any]) -> Leave:
        """See Action."""
        url, window_s = _read(args)
        if not self._home:
            msg = "the agent was not started by edge-guard, so nothing could take a bad release back"
            raise ActionError(msg)
        now = self._host.clock.now()
        folder, home = self._host.base.source.parent, Path(self._home)
        ca_file = folder / CA_FILE
        try:
            staged = staging.stage(
                url,
                key=_key(folder / KEY_FILE),
                home=home,
                version=self._host.version,
                now=datetime.fromtimestamp(now.utc_ms / 1000, UTC),
                config=self._host.base.source,
                ca_file=ca_file if ca_file.exists() else None,
            )
            trial.activate(home, staged.version, staged.created, before=self._health(), window_s=window_s)
        except UpdateError as error:
            raise ActionError(str(error)) from error
        return Leave({"version": staged.version, "from": self._host.version})

    def look_back(self, note: Mapping[str, Any]) -> Returned | None:
        """See Action: judges the release while it is on trial, and says how that ended."""
        try:
            return self._look_back(note)
        except OSError as error:
            log.warning("update_state_refused", error=str(error))
            return None

    def _look_back(self, note: Mapping[str, Any]) -> Returned | None:
        home = Path(self._home)
        on_trial = trial.pending(home) if self._home else None
        if on_trial is not None and on_trial.version == self._host.version:
            self._judge(home, on_trial)
        ended = trial.outcome(home) if self._home else None
        said = {"from": note.get("from", ""), "agent": self._host.version}
        if ended is not None and ended.version == note.get("version"):
            if ended.kept:
                _prune(home, ended)
            return Returned(said, ended.reason)
        if on_trial is not None:
            return None
        why = "its state on the disk is lost or damaged" if self._home else "the agent was started without edge-guard"
        return Returned(said, f"nothing is known of how it went: {why}")

    def _judge(self, home: Path, on_trial: trial.Trial) -> None:
        if self._is_leaving:
            return
        host, running_s = self._host, time.monotonic() - self._began_s
        verdict, reason = judge(on_trial.health_before, self._health(), running_s, on_trial.window_s)
        if verdict is Verdict.KEEP and not host.is_healthy():
            verdict, reason = Verdict.ROLL_BACK, f"not healthy after {running_s:.0f} s"
        match verdict:
            case Verdict.KEEP:
                trial.confirm(home)
            case Verdict.ROLL_BACK:
                trial.reject(home, reason)
                self._is_leaving = True
                host.leave()
            case Verdict.WATCH:
                pass

    def _health(self) -> Health:
        """As the agent says; but a platform is heard only once it has committed what this process sent.

        Where no device answers there may be nothing to send, and being connected is all there is to go by.
        """
        health = self._host.health()
        proven = is_proven(self._start, self._account()) or not health.answering
        return replace(health, is_heard=health.is_heard and proven)

    def _account(self) -> Account:
        outbox = self._host.outbox
        return Account(outbox.ep, outbox.marks())


def _prune(home: Path, ended: trial.Outcome) -> None:
    try:
        staging.prune(home, {ended.version, ended.previous or ""})
    except OSError as error:
        # The next update tries again; the answer does not wait for a disk that will not let go.
        log.warning("releases_not_pruned", error=str(error))


def _read(args: Mapping[str, Any]) -> tuple[str, float]:
    """The manifest's address and the window of the trial. Raises ActionError."""
    url, window_s = args.get("manifest"), args.get("window_s", trial.WINDOW_S)
    if not isinstance(url, str) or not url:
        msg = 'which release? {"manifest": "https://…"} is expected'
        raise ActionError(msg)
    is_number = isinstance(window_s, int | float) and not isinstance(window_s, bool)
    if not is_number or not 1 <= window_s <= trial.WINDOW_MAX_S:
        msg = f"window_s must be 1 to {trial.WINDOW_MAX_S:g}"
        raise ActionError(msg)
    return url, float(window_s)


def _key(file: Path) -> PublicKey:
    try:
        return parse_key(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"no key to verify releases with: {file} cannot be read"
        raise UpdateError(msg) from error
