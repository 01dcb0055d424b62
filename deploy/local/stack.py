"""The local stack: what runs, in which order, and what each process is told.

broker, database -> migrations -> stream -> gateways, with API and simulators as early as may be, since Python takes
its time to load each of them. Stopped backwards, so that gateways hand over what they hold while somebody is there to
commit it.
"""

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from deploy.local.account import service_account
from deploy.local.broker import Broker, ExternalBroker, local_broker, without_user
from deploy.local.discovery import SAME_CLOCK, SUPERVISOR, Login, StackInfo, forget_stack, save_stack
from deploy.local.figures import is_healthy
from deploy.local.ports import LOOPBACK, assign
from deploy.local.postgres import Postgres
from deploy.local.process import Child, ProcessSpec
from deploy.local.state import StateDir, StateLock, load_secrets, open_state
from deploy.local.supervisor import Service, Supervisor

PROCESSES: Final = ("stream", "api", "worker")
_PORTS: Final = ("postgres", "broker", "http", *PROCESSES)
DSN_VARIABLE: Final = "SHELFPULSE_DSN"
BROKER_VARIABLES: Final = ("MQTT_URL", "SHELFPULSE_MQTT_URL")
_PRIVATE: Final = (DSN_VARIABLE, "SHELFPULSE_SECRET", *BROKER_VARIABLES)
_READY_S: Final = 60.0
_RELOAD_S: Final = 3.0


class Stack:
    """A local stack in one state directory. Use as a context manager: nothing is left running after it.

    ``say`` tells people what is going on, a line at a time. Raises UserError when the directory cannot be used or
    another stack runs in it.
    """

    def __init__(self, root: Path, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> None:
        self._say = say
        self._environ = environ
        account = service_account()
        self.state: StateDir = open_state(root, account)
        self._lock = StateLock(self.state)
        forget_stack(self.state)  # of one that was killed
        self.secrets = load_secrets(self.state)
        self.ports = assign(_PORTS, self.state.ports_file)
        self.metrics = {name: self.ports[name] for name in PROCESSES}
        self.postgres: Postgres | None = None
        if DSN_VARIABLE not in environ:
            self.postgres = Postgres(
                home=self.state.database,
                port=self.ports["postgres"],
                password=self.secrets.database,
                log=self.state.logs / "postgres.log",
                account=account,
            )
        self.dsn = self.postgres.dsn() if self.postgres else environ[DSN_VARIABLE]
        self.broker: Broker = self._choose_broker()
        self._silent: set[str] = set()  # processes that serve no /healthz
        self.supervisor = Supervisor()
        self.started_at = datetime.now(UTC)

    def __enter__(self) -> Self:
        """Nothing runs yet: see ``start_services`` and ``start_processes``."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop everything in reverse order."""
        self.supervisor.stop()
        forget_stack(self.state)
        self._lock.release()

    @property
    def api_url(self) -> str:
        """Where people and scripts go."""
        return f"http://{LOOPBACK}:{self.ports['http']}"

    def start_services(self, interrupted: Callable[[], bool]) -> None:
        """Database with its schema, and broker. Raises UserError."""
        self.launch_services()
        self.wait_services(interrupted)

    def launch_services(self) -> None:
        """Start database and broker, and wait for neither: what need not wait for them can start meanwhile."""
        spec = self.broker.spec()
        if spec is not None:
            self._say(f"starting the broker ({self.broker.kind})")
            if self.broker.access is not None:
                # Those of an earlier run may name users that are gone.
                self.broker.access.forget()
            self.supervisor.start(Service(spec, self.broker.prepare))
        if self.postgres is not None:
            self._say("starting the database")
            self.supervisor.start(Service(self.postgres.spec(), self.postgres.prepare))

    def wait_services(self, interrupted: Callable[[], bool]) -> None:
        """Wait for database and broker, and bring the schema up to date. Raises UserError."""
        from deploy.migrations import upgrade  # noqa: PLC0415 - takes a second to load, while the database starts

        if self.postgres is not None:
            self.supervisor.wait_ready("postgres", interrupted=interrupted)
            if interrupted():
                return
            self.postgres.create_database()
        upgrade(self.dsn)
        if self.broker.spec() is not None:
            self.supervisor.wait_ready("broker", interrupted=interrupted)

    def start_api(self) -> None:
        """Start the API, which waits for the database by itself."""
        self.start_process("api", "api", "run", "--host", LOOPBACK, "--port", str(self.ports["http"]))

    def start_stream(self) -> None:
        """Start the dataflow; the database must be there."""
        self.start_process("stream", "stream", "run")

    def start_worker(self) -> None:
        """Start the background jobs; the database must be there."""
        self.start_process("worker", "worker", "run")

    def write_access(self) -> None:
        """Let the gateways of the database in now, rather than when ``access run`` has started. Raises UserError."""
        from deploy.access.keeper import Keeper, Metrics, sync_once  # noqa: PLC0415 - not on the way to the broker

        access = self.broker.access
        if access is not None:
            keeper = Keeper(access.spelling, access.folder, access.users, Metrics())
            sync_once(keeper, self.dsn, patience_s=_RELOAD_S)

    def start_access(self) -> None:
        """Start what keeps the broker's users equal to the database's; nothing when they are somebody else's."""
        access = self.broker.access
        if access is None:
            return
        extra = {
            "SHELFPULSE_ACCESS_BROKER": str(self.broker.kind),
            "SHELFPULSE_ACCESS_DIR": str(access.folder.folder),
            "SHELFPULSE_ACCESS_SHARED_URL": self.broker.device_url,
        }
        self.start_process("access", "access", "run", extra=extra)

    def start_process(
        self,
        name: str,
        *command: str,
        device: bool = False,
        extra: Mapping[str, str] = MappingProxyType({}),
        stop_s: float = 30.0,
        is_ready: Callable[[], bool] | None = None,
    ) -> None:
        """Start one of our own commands as a watched process; ``device``: it is told a gateway's access alone.

        ``extra`` is added to its environment.
        It is ready when ``is_ready`` says so; unless given, when its /healthz does.
        """
        if name not in self.metrics:
            self.metrics |= assign([name], self.state.ports_file)
        port = self.metrics[name]
        if is_ready is not None:
            self._silent.add(name)
        self.supervisor.start(
            Service(
                ProcessSpec(
                    name=name,
                    argv=(sys.executable, "-m", "deploy.cli", *command),
                    log=self.state.logs / f"{name}.log",
                    env={**self._environment(port, device=device), **extra},
                    stop_s=stop_s,
                    is_ready=is_ready or (lambda: is_healthy(port)),
                    ready_s=_READY_S,
                )
            )
        )

    def start_once(self, name: str, *command: str, extra: Mapping[str, str] = MappingProxyType({})) -> Child:
        """Start one of our own commands that ends by itself; whoever starts it stops it."""
        return Child(
            ProcessSpec(
                name=name,
                argv=(sys.executable, "-m", "deploy.cli", *command),
                log=self.state.logs / f"{name}.log",
                env={**self._environment(0, device=False), **extra},
            )
        )

    def publish(self, *, tenant: str = "", logins: list[Login] | None = None, api_key: str = "") -> StackInfo:
        """Let other commands find the stack."""
        info = StackInfo(
            dsn=self.dsn,
            mqtt_url=self.broker.url,
            device_mqtt_url=self.broker.device_url,
            api_url=self.api_url,
            secret=self.secrets.signing,
            started_at=self.started_at.isoformat(),
            metrics={name: port for name, port in self.metrics.items() if name not in self._silent},
            pids={SUPERVISOR: os.getpid(), **self.supervisor.pids()},
            tenant=tenant,
            logins=logins or [],
            api_key=api_key,
        )
        save_stack(self.state, info)
        return info

    def _choose_broker(self) -> Broker:
        for variable in BROKER_VARIABLES:
            if url := self._environ.get(variable):
                return ExternalBroker(url)
        # The service user's own folders lie in it.
        return local_broker(
            self.state.broker, self.ports["broker"], self.secrets, self.state.logs / "broker.log", service_account()
        )

    def _environment(self, metrics_port: int, *, device: bool) -> dict[str, str]:
        given = {**SAME_CLOCK, **{name: value for name, value in self._environ.items() if name not in _PRIVATE}}
        given |= {
            "SHELFPULSE_STATE": str(self.state.root),
            "SHELFPULSE_METRICS_PORT": str(metrics_port),
            "SHELFPULSE_LOG_FORMAT": "json",
            "MQTT_URL": self.broker.device_url if device else self.broker.url,
        }
        if not device:
            given |= {
                DSN_VARIABLE: self.dsn,
                "SHELFPULSE_SECRET": self.secrets.signing,
                "SHELFPULSE_GATEWAY_BROKER_URL": without_user(self.broker.url),
            }
        return given
