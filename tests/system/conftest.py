"""The storage tiers for tests of the whole stack; the end of the run says which were at hand."""

from collections.abc import Iterator

import pytest

from stream.storage import Tier
from tests.services.tiers import new_database, server_of, tiers_at_hand


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tiers this run covered."""
    terminalreporter.write_line(tiers_at_hand())


@pytest.fixture(params=list(Tier), ids=str)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """DSN of an empty database for the stack, in each tier that has a server; "": the stack brings its own."""
    server = server_of(Tier(request.param))
    if not server:
        yield ""
        return
    with new_database(server) as dsn:
        yield dsn
