"""Puts the demo on a stack: registers everything through the ordinary imports, starts shelves and gateways."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import psycopg

from contracts.errors import UserError
from contracts.ids import username
from deploy.demo import files, market
from deploy.demo.credentials import ensure_credentials
from deploy.demo.people import Access, ensure_people
from deploy.demo.story import BROKER_RESTART_S, LINES
from deploy.local.outboxes import Outbox
from deploy.local.ports import assign, is_open
from deploy.local.stack import Stack
from platform_api.imports.service import import_csv
from platform_api.tenancy.service import create_tenant
from simulators import plan as plans

if TYPE_CHECKING:
    from deploy.local.process import Child

EDGE_STOP_S: Final = files.DRAIN_S + 10.0
SIMULATOR: Final = "simulate"
GATEWAY_EVERY_S: Final = 1.0
"""The others do not all load Python while the first chart begins to move."""
HISTORY_S: Final = 20.0
"""When the channel's history is brought in, after the first gateway has started: the shelves come first."""


class Demo:
    """The demo on one stack. ``say`` tells people the story.

    ``has_story`` False: shelves and gateways alone. ``gateway_url`` leads a user with its secret to the broker, where
    not the stack's own address does.
    """

    def __init__(
        self,
        stack: Stack,
        say: Callable[[str], None],
        *,
        has_story: bool = True,
        gateway_url: Callable[[str, str], str] | None = None,
    ) -> None:
        self._stack = stack
        self._say = say
        self._has_story = has_story
        self._gateway_url = gateway_url or stack.broker.gateway_url
        self._lines = list(LINES)
        self._broker_due = stack.broker.spec() is not None
        self._started_at: float | None = None
        self._ports: dict[str, int] = {}
        self._secrets: dict[str, str] = {}
        self._waiting = list(zip(market.STORES, self.outboxes(), strict=True))
        self._started: list[str] = []
        self._next_at_s = 0.0
        self._history: Child | None = None
        self._history_told = False

    def register(self) -> Access:
        """Tenant, master data, people and the gateways' credentials, here and in the database. May be repeated."""
        self._say("registering the demo's stores, shelves and articles")
        folder = self._stack.state.demo
        with psycopg.connect(self._stack.dsn) as connection:
            create_tenant(connection, market.TENANT, market.TENANT_NAME)
            for kind, text in files.tables().items():
                (folder / f"{kind}.csv").write_text(text)
                outcome = import_csv(connection, kind, text.encode())
                if outcome.faults:
                    fault = outcome.faults[0]
                    message = f"the demo's {kind}.csv, line {fault.line}: {fault.column} {fault.text}"
                    raise UserError(message, "is this database used for something else?")
            self._secrets = ensure_credentials(connection, folder / "credentials.json")
            return ensure_people(connection, folder / "people.json")

    def start_shelves(self) -> None:
        """Start the shelves; the story begins when they answer."""
        folder = self._stack.state.demo
        names = {store.gateway: f"modbus-{store.gateway}" for store in market.STORES}
        assigned = assign(names.values(), self._stack.state.ports_file)
        self._ports = {gateway: assigned[name] for gateway, name in names.items()}
        plan_file = folder / "plan.json"
        plan_file.write_bytes(plans.encode(files.plan(self._ports)))
        self._stack.start_process(
            SIMULATOR,
            *("simulate", "store", "--plan", str(plan_file), "--truth", str(folder / "truth.jsonl")),
            device=True,
            is_ready=lambda: all(is_open(port) for port in self._ports.values()),
        )

    def start_first_gateway(self, interrupted: Callable[[], bool]) -> None:
        """Start the gateway of the first store as soon as the shelves answer; ``tick`` starts the others."""
        self._say("starting 40 shelves and 6 gateways")
        self._stack.supervisor.wait_ready(SIMULATOR, interrupted=interrupted)
        self._started_at = time.monotonic()
        self._start_next_gateway()

    def _start_next_gateway(self) -> None:
        store, outbox = self._waiting.pop(0)
        config = self._stack.state.demo / f"{store.gateway}.toml"
        slots = self._stack.state.demo / "slots.csv"
        outbox.file.parent.mkdir(exist_ok=True)
        config.write_text(files.edge_toml(store, self._ports[store.gateway], slots, outbox.file))
        url = self._gateway_url(username(market.TENANT, store.gateway), self._secrets.get(store.gateway, "none"))
        self._stack.start_process(
            edge_name(store),
            *("edge", "run", "--config", str(config)),
            device=True,
            extra={"MQTT_URL": url},
            stop_s=EDGE_STOP_S,
        )
        self._started.append(edge_name(store))
        self._next_at_s = time.monotonic() + GATEWAY_EVERY_S

    @property
    def is_complete(self) -> bool:
        """Whether every gateway has been started."""
        return not self._waiting

    def outboxes(self) -> list[Outbox]:
        """The files in which the gateways keep what is not committed, in the order of the stores."""
        folder = self._stack.state.edges
        return [Outbox(market.TENANT, store.gateway, folder / store.gateway / "outbox.db") for store in market.STORES]

    def tick(self) -> None:
        """Start the next gateway, tell what the story has come to, kill the broker when it is due."""
        if self._started_at is None:
            return
        if self._waiting and time.monotonic() >= self._next_at_s:
            self._start_next_gateway()
        if self._has_story:
            self._tell(time.monotonic() - self._started_at)

    def _tell(self, at_s: float) -> None:
        if self._history is None and at_s >= HISTORY_S:
            self._say("bringing in a quarter of the channel's orders, deliveries and payments")
            self._history = self._stack.start_once("channel", "demo", "channel")
        self._tell_history()
        while self._lines and at_s >= self._lines[0].at_s:
            self._say(self._lines.pop(0).text)
        if self._broker_due and at_s >= BROKER_RESTART_S:
            self._broker_due = False
            self._stack.supervisor.kill("broker")

    def _tell_history(self) -> None:
        """Say once how bringing in the history ended."""
        if self._history is None or self._history_told or (code := self._history.poll()) is None:
            return
        self._history_told = True
        if code == 0:
            self._say("the channel's quarter is there: orders, shipments, returns and receivables at /desk")
        else:
            self._say(f"the channel's quarter was not brought in, see {self._history.spec.log}")

    def stop_gateways(self) -> None:
        """Stop reading shelves; what the gateways hold is handed over first, while the dataflow still runs."""
        self.stop_history()
        self._stack.supervisor.stop(*self._started)
        self._stack.supervisor.stop(SIMULATOR)

    def stop_history(self) -> None:
        """Stop bringing in the history, if that is still going on; the next start goes on with it."""
        if self._history is not None:
            self._history.stop()


def edge_name(store: market.Store) -> str:
    """Name of the process of a store's gateway."""
    return f"edge-{store.gateway}"
