"""The state directory: everything that the local stack keeps between two starts."""

import fcntl
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from contracts.errors import UserError
from deploy.local.account import Account, can_reach

STATE_VARIABLE: Final = "SHELFPULSE_STATE"
_ROOT_STATE: Final = Path("/var/lib/shelfpulse")
_SECRET_BYTES: Final = 32


class Secrets(NamedTuple):
    """Random once, kept in the state directory; never logged, never on a command line."""

    database: str
    platform: str
    device: str
    signing: str
    """Key of the API's tokens."""


@dataclass(frozen=True)
class StateDir:
    """Paths below one root."""

    root: Path

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.root / "logs"

    @property
    def database(self) -> Path:
        """PostgreSQL's data and, when its binaries had to be copied, those."""
        return self.root / "database"

    @property
    def broker(self) -> Path:
        """The broker's configuration and queues."""
        return self.root / "broker"

    @property
    def stream(self) -> Path:
        """The dataflow's recovery store."""
        return self.root / "stream"

    @property
    def edges(self) -> Path:
        """Outboxes of the gateways."""
        return self.root / "edges"

    @property
    def demo(self) -> Path:
        """What the demo's tenant was made from: CSV files, configurations, the simulators' plan, ground truth."""
        return self.root / "demo"

    @property
    def stack_file(self) -> Path:
        """How to reach the running stack; see ``discovery``."""
        return self.root / "stack.json"

    @property
    def ports_file(self) -> Path:
        """Ports of the last start."""
        return self.root / "ports.json"

    @property
    def secrets_file(self) -> Path:
        """Passwords and keys, mode 0600."""
        return self.root / "secrets.json"


def default_state() -> Path:
    """``$SHELFPULSE_STATE``, else /var/lib/shelfpulse for root, else below the user's state home."""
    if given := os.environ.get(STATE_VARIABLE):
        return Path(given)
    if os.geteuid() == 0:
        # Not below root's home: the unprivileged user of the database could not get there.
        return _ROOT_STATE
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "shelfpulse"


def open_state(root: Path, account: Account | None) -> StateDir:
    """Make the state directory and its folders; the account must be able to walk through it.

    Raises UserError when it cannot be made or reached.
    """
    state = StateDir(root.resolve())
    try:
        state.root.mkdir(parents=True, exist_ok=True)
        # The services' user walks through the root to its own folders, and sees nothing else in it.
        state.root.chmod(0o711 if account is not None else 0o700)
        for folder in (state.logs, state.database, state.broker, state.stream, state.edges, state.demo):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o711 if folder in {state.database, state.broker} else 0o700)
    except OSError as error:
        message = f"the state directory {state.root} cannot be used: {error.strerror}"
        raise UserError(message, "choose another with --state or SHELFPULSE_STATE") from error
    if account is not None and not can_reach(state.database / "any", account):
        message = f"the user {account.name} that runs the database cannot reach {state.root}"
        raise UserError(message, "choose a state directory outside root's home, for instance /var/lib/shelfpulse")
    return state


def load_secrets(state: StateDir) -> Secrets:
    """The stack's passwords, made on the first start."""
    with suppress(FileExistsError):
        made = Secrets(*(secrets.token_urlsafe(_SECRET_BYTES) for _ in Secrets._fields))
        write_private(state.secrets_file, json.dumps(made._asdict()), fresh=True)
    return Secrets(**json.loads(state.secrets_file.read_text()))


def write_private(file: Path, text: str, *, fresh: bool = False) -> None:
    """Write ``text`` so that only our user can read it and nobody ever sees half of it.

    With ``fresh`` raises FileExistsError when the file is there.
    """
    if fresh:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        return
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    write_private(part, text, fresh=True)
    part.replace(file)


class StateLock:
    """Holds a state directory for one stack; the system lets go of it however its owner ends."""

    def __init__(self, state: StateDir) -> None:
        self._descriptor = os.open(state.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            message = f"a stack is already running in {state.root}"
            raise UserError(message, "stop it with Ctrl-C, or choose another directory with --state") from error

    def release(self) -> None:
        """Let the next stack in."""
        os.close(self._descriptor)
