"""What the remote part may see of the agent that it runs in, and do to it."""

from collections.abc import Mapping
from typing import Protocol

from contracts.frames import Answer
from edge_agent.clock import Clock
from edge_agent.outbox.file import Outbox
from edge_agent.polling import Polling
from edge_agent.remote.trial import Health
from edge_agent.settings import Settings


class HostStoppingError(Exception):
    """The agent is about to end: nothing is changed any more."""


class Host(Protocol):
    """The agent. Safe to use from the remote part's threads; who uses ``polling`` while it acts holds its own lock."""

    @property
    def base(self) -> Settings:
        """The settings of edge.toml."""

    @property
    def clock(self) -> Clock:
        """The gateway's clocks."""

    @property
    def outbox(self) -> Outbox:
        """Where answers go."""

    @property
    def polling(self) -> Polling:
        """What polls now."""

    @property
    def version(self) -> str:
        """Version of the agent."""

    def health(self) -> Health:
        """How the gateway is now."""

    def has_settled(self) -> bool:
        """Whether every device has answered, failed to, or had the time to: only then ``health`` says much."""

    def is_healthy(self) -> bool:
        """Whether all threads live and the outbox can be written."""

    def swap(self, settings: Settings, memories: Mapping[str, bytes]) -> None:
        """Poll by other settings from now on; returns when it is done. Raises HostStoppingError."""

    def tell(self, answer: Answer) -> bool:
        """Hand an answer to the outbox's writer; False when it takes nothing now. Raises HostStoppingError."""

    def leave(self) -> None:
        """End the process in good order; whoever supervises it starts it again."""
