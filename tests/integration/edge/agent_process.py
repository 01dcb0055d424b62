"""The agent as a process, with the shelves that it polls."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.topics import GatewayAddress
from tests.integration.edge.shelf_server import Shelf

HERE = GatewayAddress("demo", "store-01", "gw-01")
UNIT_G = 352.0


def configure(
    folder: Path, modbus_port: int, broker_url: str, drain_s: float = 0.0, health_window_s: float = 60.0, more: str = ""
) -> Path:
    """An edge.toml with one shelf of four bays, unit 1; ``more`` is appended to its [[device]] table."""
    slots = ["tenant,site,gateway,slot,channel,sku,unit_weight_g,unit_weight_sd_g,capacity,reorder_point,target"]
    slots += [f"demo,store-01,gw-01,s01-b{b},s01-b{b}.weight_g,cola,{UNIT_G},3,24,8,24" for b in (1, 2, 3, 4)]
    (folder / "slots.csv").write_text("\n".join(slots))
    config = folder / "edge.toml"
    config.write_text(
        f"""
tenant = "demo"
site = "store-01"
gateway = "gw-01"
slots = "slots.csv"
drain_s = {drain_s}
[broker]
url = "{broker_url}"
[report]
heartbeat_s = 1.0
[remote]
health_window_s = {health_window_s}
[[bus]]
name = "shelves"
kind = "tcp"
host = "127.0.0.1"
port = {modbus_port}
timeout_s = 0.5
[[device]]
name = "s01"
bus = "shelves"
unit = 1
profile = "loadcell_shelf"
period_s = 0.05
{more}
"""
    )
    return config


def edge(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "deploy.cli", "edge", *map(str, words)]


@contextmanager
def agent(config: Path, metrics_port: int = 0, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """It runs until the end of the block, which kills it. A container's clock is nobody's: it is trusted here."""
    environment = os.environ | {"SHELFPULSE_METRICS_PORT": str(metrics_port), "SHELFPULSE_CLOCK": "trusted"} | variables
    with (config.parent / "edge.log").open("ab") as log:
        process = subprocess.Popen(edge("run", "--config", config), stderr=log, env=environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def noisy(shelf: Shelf, items: list[int]) -> Iterator[None]:
    """Weights of the bays follow ``items`` under noise."""
    ended = threading.Event()
    rng = random.Random(0)

    def shake() -> None:
        while not ended.wait(0.02):
            shelf.weights_g = [n * UNIT_G + rng.gauss(0.0, 3.0) for n in items]

    shelf.weights_g = [n * UNIT_G for n in items]
    thread = threading.Thread(target=shake)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
