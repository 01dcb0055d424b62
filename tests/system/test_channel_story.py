"""The story of a low shelf, with real processes: a gateway that counts, the stream, the worker, people over HTTP."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.integration.edge.agent_process import agent, configure, noisy
from tests.integration.edge.shelf_server import Shelf, shelf_server
from tests.services.stacks import RunningStack, parse, run_stack, state_directory
from tests.system.channel_world import GATEWAY, SITE, Channel, comes, now, open_channel

pytestmark = [pytest.mark.system, pytest.mark.timeout(1_200)]

SIGNATURE = b"\x89PNG\r\n\x1a\n Sun Li"
PHOTO = b"\xff\xd8\xff\xe0 a van at the door"


def test_a_low_shelf_becomes_an_order_a_delivery_and_a_refill_on_which_all_books_agree(
    tmp_path: Path, database: str
) -> None:
    shelf, items = Shelf(1), [10, 0, 0, 0]
    with (
        state_directory() as state,
        noisy(shelf, items),
        shelf_server(shelf) as port,
        run_stack(state, dsn=database) as stack,
    ):
        config = configure(tmp_path, port, stack.info.device_mqtt_url)
        channel = open_channel(stack, tmp_path / "slots.csv")
        channel.receive("wh", 12)
        channel.receive("east-wh", 3)
        with agent(config):
            runs_low(channel, items)
            order = becomes_an_order(channel)
            parts = leaves_in_two_parts(channel, order)
            is_signed_for(channel, parts)
            store_is_asked(channel)
            items[:2] = [20, 8]
            ends(channel, order["id"], parts)
        books_agree(stack, channel)


def runs_low(channel: Channel, items: list[int]) -> None:
    """Two units are sold, one by one, and the shelf itself says so."""
    comes(lambda: channel.shelf() == 10, channel.shelf)
    for left in (9, 8):
        items[0] = left
        comes(lambda left=left: channel.shelf() == left, channel.shelf)  # type: ignore[misc]
    sales = channel.hq.items("/v1/events", site=SITE, kind="sale")
    assert sum(one["units"] for one in sales) == -2, sales


def becomes_an_order(channel: Channel) -> dict[str, Any]:
    """The policy orders by itself; the order is held for credit until headquarters lets it go."""
    comes(lambda: (channel.proposal() or {}).get("state") == "ordered", channel.proposal)
    proposal = channel.proposal()
    assert proposal is not None
    evidence = {name: proposal["evidence"][name] for name in ("on_hand", "reorder_point", "target")}
    assert (proposal["units"], evidence) == (20, {"on_hand": 8, "reorder_point": 8, "target": 28})
    assert (proposal["outcome"], proposal["note"]) == ("order", "2 case for east: credit_hold")
    # The dealer's own warehouse was looked at first; its 3 units do not do.
    assert [one["source"] for one in proposal["considered"]] == [SITE, "east-wh", "wh"]
    held = channel.dealer.get(f"/v1/orders/{proposal['order']}")
    assert (held["state"], held["total"]["amount"]) == ("credit_hold", "135.60")
    released = channel.hq.post(f"/v1/orders/{held['id']}:override", {"reason": "a good payer"}, version=held["version"])
    assert (released["state"], released["lines"][0]["reserved"], released["lines"][0]["back_ordered"]) == (
        "allocated",
        12,
        8,
    )
    return dict(released)


def leaves_in_two_parts(channel: Channel, order: dict[str, Any]) -> list[str]:
    """What is there leaves at once; the rest when it has come and the worker has allocated it."""
    path = f"/v1/orders/{order['id']}"
    part = channel.hq.post(f"{path}/shipments", {"carrier": "van", "tracking_no": "T1"}, version=order["version"])
    assert (part["state"], part["lines"][0]["shipped"]) == ("part_shipped", 12)
    channel.receive("wh", 100)
    comes(lambda: channel.hq.get(path)["lines"][0]["reserved"] == 8, lambda: channel.hq.get(path))
    version = channel.hq.get(path)["version"]
    rest = channel.hq.post(f"{path}/shipments", {"carrier": "van", "tracking_no": "T2"}, version=version)
    assert (rest["state"], rest["lines"][0]["shipped"]) == ("shipped", 20)
    assert channel.account() == {"receivable": "135.60", "committed": "0.00", "free": "-35.60"}
    return [f"/v1/shipments/{one['id']}" for one in channel.dealer.items("/v1/shipments", order=order["id"])]


def is_signed_for(channel: Channel, parts: list[str]) -> None:
    """The carrier drives to the door; the dealer signs, and the pictures can be seen again."""
    for url in parts:
        comes(
            lambda url=url: channel.dealer.get(url)["state"] == "out_for_delivery",  # type: ignore[misc]
            lambda url=url: channel.dealer.get(url),  # type: ignore[misc]
        )
        assert [one["state"] for one in channel.dealer.get(url)["events"]] == ["in_transit", "out_for_delivery"]
        pictures = {"signature": SIGNATURE, "photo": PHOTO}
        encoded = {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}
        channel.dealer.post(f"{url}:deliver", {"signer": "Sun Li", "at": now(), **encoded})
        assert {name: channel.dealer.http.get(f"{url}/{name}").content for name in pictures} == pictures


def store_is_asked(channel: Channel) -> None:
    """The gateway hears of each refill and answers what lies there now."""
    path = f"/v1/gateways/{GATEWAY}/commands"
    comes(lambda: [one["state"] for one in channel.hq.items(path)] == ["done", "done"], lambda: channel.hq.items(path))
    for command in channel.hq.items(path):
        assert command["kind"] == "refill_check"
        assert sum(slot["on_shelf"] for slot in command["result"]["slots"]) == 8
    assert sorted(one["units"] for one in channel.hq.items("/v1/refills", site=SITE, state="open")) == [8, 12]


def ends(channel: Channel, order_id: str, parts: list[str]) -> None:
    """The shelf sees the refill: that confirms the deliveries, closes the order and ends the cycle."""
    comes(lambda: channel.shelf() == 28, channel.shelf)
    path = f"/v1/orders/{order_id}"
    comes(lambda: channel.hq.get(path)["state"] == "closed", lambda: [channel.hq.get(url) for url in parts])
    proposal = channel.proposal()
    assert proposal is not None
    assert proposal["state"] == "received"
    assert {channel.hq.get(url)["shelf_verdict"] for url in parts} == {"confirmed"}
    assert {one["state"] for one in channel.hq.items("/v1/refills", site=SITE)} == {"done"}


def books_agree(stack: RunningStack, channel: Channel) -> None:
    """Ledger, shelves and receivables say the same, and every invariant holds."""
    comes(lambda: channel.stock().get(f"{SITE}.shelf") == channel.shelf() == 28, channel.stock)
    stock = channel.stock()
    assert {place: stock[place] for place in ("wh", "east-wh", SITE, ".transit")} == {
        "wh": 92,
        "east-wh": 3,
        SITE: 0,
        ".transit": 0,
    }
    assert channel.account() == {"receivable": "135.60", "committed": "0.00", "free": "-35.60"}
    (invoiced,) = {one["kind"] for one in channel.dealer.items("/v1/receivables")}
    assert invoiced == "invoice"
    assert channel.hq.items("/v1/recon-cases") == []
    verified = stack.command("verify", "--json", timeout_s=300)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    told = parse(verified.stdout)
    assert told["ok"] is True
    assert set(told["invariants"]) >= {"I1", "I2", "I3", "I4", "I5"}, told
