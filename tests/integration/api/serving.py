"""The API as a real server in a thread, for what a test client cannot do: streams and browsers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from platform_api.app import create_app
from platform_api.settings import Settings
from tests.integration.api.world import SECRET

BROKER_URL: Final = "mqtts://broker.example:8883"


def settings_for(dsn: str, **more: str) -> Settings:
    """Settings of an API under test."""
    return Settings.model_validate(
        {"dsn": dsn, "secret": SECRET, "gateway_broker_url": BROKER_URL, "webhook_loopback": True, **more}
    )


@contextmanager
def serve(dsn: str, *, port: int = 0) -> Iterator[str]:
    """Base URL of a running API; port 0 is a free one."""
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings_for(dsn)), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    # The listener takes connections from here on; they are answered as soon as the server has started.
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
        assert not thread.is_alive()
