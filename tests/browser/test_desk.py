"""The pages of daily work in a real Chromium, on the demo's channel."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.local.discovery import Login
from tests.browser.test_wall import CONTRAST, DEADLINE_MS, DESKTOP, PHONE, Watch, chromium, watch
from tests.integration.api.serving import serve
from tests.services.channels import register_companies, seed
from tests.services.databases import Server, clone

__all__ = ["chromium", "watch"]

# The channel takes half a minute on a machine of its own, much more beside other tests.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def market(postgres_server: Server) -> Iterator[tuple[str, str, dict[str, Login]]]:
    """A server on the demo's channel: its URL, its database, and the people by login."""
    with clone(postgres_server) as dsn:
        people = {one.login: one for one in register_companies(dsn)}
        seed(dsn)
        with serve(dsn) as url:
            yield url, dsn, people


def open_desk(
    browser: Browser, market: tuple[str, str, dict[str, Login]], login: str, watch: Watch, *, locale: str, phone: bool
) -> Page:
    url, _, people = market
    size = PHONE if phone else DESKTOP
    context = browser.new_context(viewport=size, locale=locale, timezone_id="Asia/Shanghai")  # type: ignore[arg-type]  # a typed dict with these keys
    context.set_default_timeout(DEADLINE_MS)
    page = context.new_page()
    watch.on(page)
    page.goto(f"{url}/login")
    page.locator("#login").fill(login)
    page.locator("#password").fill(people[login].password)
    page.locator("button.primary").click()
    page.wait_for_url(f"{url}/")
    page.goto(f"{url}/desk")
    return page


def test_a_dealer_decides_a_proposal_and_orders_what_is_in_the_cart(
    chromium: Browser, market: tuple[str, str, dict[str, Login]], watch: Watch, tmp_path: Path
) -> None:
    page = open_desk(chromium, market, "dealer.east@demo", watch, locale="zh-CN", phone=False)
    expect(page.locator("h1")).to_have_text("工作台")
    rows = page.get_by_test_id("desk-proposals").locator("li")
    expect(rows).to_have_count(3)
    expect(page.get_by_test_id("accounts").locator("tbody tr")).to_have_count(1)
    page.screenshot(path=tmp_path / "desk-zh.png", full_page=True)
    assert page.evaluate(CONTRAST) == []
    rows.first.get_by_test_id("approve").click()
    expect(rows).to_have_count(2, timeout=DEADLINE_MS)
    page.locator("tr", has=page.locator('[data-state="draft"]')).get_by_role("link").click()
    expect(page.get_by_test_id("order-state")).to_have_text("草稿")
    expect(page.get_by_test_id("lines").locator("tbody tr")).to_have_count(3)
    expect(page.get_by_test_id("lines")).to_contain_text("经销商价")
    page.screenshot(path=tmp_path / "order-zh.png", full_page=True)
    assert page.evaluate(CONTRAST) == []
    assert_told_by_the_readers_clock(page)
    change_the_cart(page)
    page.get_by_test_id("submit").click()
    # Within the dealer's credit, and nobody has to approve it.
    expect(page.get_by_test_id("order-state")).to_have_attribute("data-state", "allocated", timeout=DEADLINE_MS)
    with psycopg.connect(market[1]) as connection:
        approved = connection.execute("SELECT count(*) FROM proposal WHERE state = 'approved'").fetchone()
    assert approved == (1,)
    page.context.close()


def assert_told_by_the_readers_clock(page: Page) -> None:
    for time in page.get_by_test_id("history").locator("time").all():
        at = datetime.fromisoformat(str(time.get_attribute("datetime"))).astimezone(ZoneInfo("Asia/Shanghai"))
        expect(time).to_have_text(f"{at.year}年{at.month}月{at.day}日 {at:%H:%M}")


def change_the_cart(page: Page) -> None:
    """One pack less of an article, and one of another; nothing waits before it is ordered."""
    packs = page.locator("input.packs")
    fewer = str(int(packs.first.input_value()) - 1)
    packs.first.fill(fewer)
    # What would be ordered is not what stands there: nothing is ordered by mistake.
    page.get_by_test_id("submit").click()
    expect(page.locator("#toast")).to_contain_text("请先保存购物车", timeout=DEADLINE_MS)
    expect(page.get_by_test_id("order-state")).to_have_attribute("data-state", "draft")
    others = page.get_by_test_id("add-sku").locator("option")
    expect(others.nth(5)).to_be_attached(timeout=DEADLINE_MS)
    in_cart = page.get_by_test_id("lines").locator("tbody th").all_inner_texts()
    other = next(text for text in others.all_inner_texts()[1:] if text.split(" · ")[0] not in in_cart)
    page.get_by_test_id("add-sku").select_option(label=other)
    page.get_by_test_id("save-cart").click()
    expect(packs).to_have_count(4, timeout=DEADLINE_MS)
    expect(packs.first).to_have_value(fewer)
    waiting = page.get_by_test_id("lines").locator("tbody td:last-child").all_inner_texts()
    assert set(waiting) == {"\N{EN DASH}"}


def test_a_dealer_begins_an_order_on_a_phone_and_takes_it_back(
    chromium: Browser, market: tuple[str, str, dict[str, Login]], watch: Watch, tmp_path: Path
) -> None:
    page = open_desk(chromium, market, "dealer.east@demo", watch, locale="zh-CN", phone=True)
    page.get_by_test_id("new-order").click()
    articles = page.get_by_test_id("new-sku").locator("option")
    expect(articles.nth(5)).to_be_attached(timeout=DEADLINE_MS)
    page.get_by_test_id("new-place").select_option("wh-east")
    page.get_by_test_id("new-sku").select_option(index=1)
    page.get_by_test_id("new-packs").fill("2")
    page.screenshot(path=tmp_path / "new-order-phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.get_by_test_id("begin-order").click()
    page.wait_for_url(re.compile("/orders/[0-9a-f-]{36}$"), timeout=DEADLINE_MS)
    expect(page.locator("input.packs")).to_have_value("2")
    page.get_by_test_id("cancel-order").click()
    page.get_by_test_id("cancel-reason").fill("点错了")
    page.get_by_test_id("cancel-it").click()
    expect(page.get_by_test_id("order-state")).to_have_attribute("data-state", "cancelled", timeout=DEADLINE_MS)
    expect(page.get_by_test_id("cancel-order")).to_have_count(0)
    page.context.close()


def test_what_is_held_for_an_order_is_sent_and_signed_for(
    chromium: Browser, market: tuple[str, str, dict[str, Login]], watch: Watch, tmp_path: Path
) -> None:
    with psycopg.connect(market[1]) as connection:
        found = connection.execute(
            "SELECT order_id FROM sales_order WHERE state = 'allocated' AND reference LIKE '%nuts%'"
        )
        address = f"{market[0]}/orders/{found.fetchall()[0][0]}"
    page = open_desk(chromium, market, "ops@demo", watch, locale="en-GB", phone=False)
    page.goto(address)
    page.screenshot(path=tmp_path / "ship.png", full_page=True)
    assert page.evaluate(CONTRAST) == []
    page.get_by_test_id("carrier").select_option("van")
    page.get_by_test_id("tracking").fill("NUTS-1")
    page.get_by_test_id("ship").click()
    expect(page.get_by_test_id("shipments")).to_contain_text("NUTS-1", timeout=DEADLINE_MS)
    expect(page.get_by_test_id("history").locator("li").last).to_contain_text("NUTS-1")
    page.context.close()
    page = open_desk(chromium, market, "dealer.east@demo", watch, locale="zh-CN", phone=True)
    page.goto(address)
    page.get_by_test_id("sign").click()
    expect(page.get_by_test_id("signer")).not_to_have_value("")
    page.get_by_test_id("missing").first.fill("1")
    page.screenshot(path=tmp_path / "sign-phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.get_by_test_id("sign-it").click()
    expect(page.get_by_test_id("sign")).to_have_count(0, timeout=DEADLINE_MS)
    expect(page.get_by_test_id("shipments").locator("dd").last).to_contain_text("CNY")
    page.context.close()


def test_a_dealer_asks_to_send_goods_back_and_operations_receive_them(
    chromium: Browser, market: tuple[str, str, dict[str, Login]], watch: Watch, tmp_path: Path
) -> None:
    page = open_desk(chromium, market, "dealer.east@demo", watch, locale="zh-CN", phone=False)
    page.locator("tr", has=page.locator('[data-state="closed"]')).first.get_by_role("link").click()
    expect(page.get_by_test_id("way")).not_to_contain_text("wh-")
    address = page.url
    page.locator("[data-return]").first.fill("2")
    page.get_by_test_id("return-reason").fill("纸箱压坏")
    page.screenshot(path=tmp_path / "return-zh.png", full_page=True)
    assert page.evaluate(CONTRAST) == []
    page.get_by_test_id("ask-return").click()
    asked = page.get_by_test_id("order-returns").locator("li", has_text="纸箱压坏")
    expect(asked.locator(".tag")).to_have_attribute("data-state", "requested", timeout=DEADLINE_MS)
    page.locator("[data-return]").first.fill("1")
    page.get_by_test_id("return-reason").fill("不想要了")
    page.get_by_test_id("ask-return").click()
    expect(page.get_by_test_id("order-returns").locator("li", has_text="不想要了")).to_have_count(
        1, timeout=DEADLINE_MS
    )
    page.context.close()
    page = open_desk(chromium, market, "ops@demo", watch, locale="en-GB", phone=True)
    page.goto(address)
    turn_down_by_keyboard(page)
    page.goto(address)
    asked = page.get_by_test_id("order-returns").locator("li", has_text="纸箱压坏")
    asked.get_by_test_id("approve-return").click()
    asked.get_by_test_id("receive-parts").click(timeout=DEADLINE_MS)
    asked.get_by_test_id("fate-restock").fill("1")
    asked.get_by_test_id("fate-hold").fill("1")
    page.screenshot(path=tmp_path / "fates-phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    asked.get_by_test_id("receive-fates").click()
    expect(asked.locator(".tag")).to_have_attribute("data-state", "received", timeout=DEADLINE_MS)
    expect(asked).to_contain_text("on hold")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.screenshot(path=tmp_path / "return-phone.png", full_page=True)
    page.context.close()


def test_goods_are_put_on_hold_released_and_written_off_on_the_page_of_stock(
    chromium: Browser, market: tuple[str, str, dict[str, Login]], watch: Watch, tmp_path: Path
) -> None:
    page = open_desk(chromium, market, "ops@demo", watch, locale="zh-CN", phone=False)
    page.get_by_role("link", name="库存", exact=True).click()
    expect(page.get_by_test_id("stock").locator("tbody tr")).to_have_count(50, timeout=DEADLINE_MS)
    page.get_by_test_id("more-stock").click()
    expect(page.get_by_test_id("stock").locator("tbody tr").first).to_be_visible(timeout=DEADLINE_MS)
    page.get_by_test_id("hold-at").select_option("wh-north")
    articles = page.get_by_test_id("hold-sku").locator("option")
    expect(articles.nth(2)).to_be_attached(timeout=DEADLINE_MS)
    page.get_by_test_id("hold-sku").select_option(index=2)
    page.get_by_test_id("hold-units").fill("3")
    page.get_by_test_id("hold-reason").fill("外箱破损")
    page.screenshot(path=tmp_path / "stock-zh.png", full_page=True)
    assert page.evaluate(CONTRAST) == []
    page.get_by_test_id("hold").click()
    held = page.get_by_test_id("held").locator("li", has_text="Dingsheng")
    expect(held).to_have_count(1, timeout=DEADLINE_MS)
    held.get_by_test_id("release").click()
    held.get_by_test_id("release-units").fill("1")
    held.get_by_test_id("release-reason").fill("可再销售")
    held.get_by_test_id("release-it").click()
    expect(held.locator("dd")).to_have_text("2", timeout=DEADLINE_MS)
    held.get_by_test_id("write-off").focus()
    page.keyboard.press("Enter")
    held.get_by_test_id("write-off-reason").fill("已报废")
    held.get_by_test_id("write-off-reason").press("Enter")
    expect(held).to_have_count(0, timeout=DEADLINE_MS)
    page.goto(f"{market[0]}/stock?place=wh-north&kind=hold")
    # Nothing is left there, and nobody is shown where nothing lies.
    expect(page.get_by_test_id("stock").locator("tbody tr", has_text="Dingsheng")).to_have_count(0)
    page.goto(f"{market[0]}/stock")
    kinds = page.get_by_test_id("stock").locator("tbody .tag")
    expect(kinds.first).to_have_attribute("data-state", "warehouse")  # what can be sold comes first
    page.context.close()
    page = open_desk(chromium, market, "store.shanghai@demo", watch, locale="en-GB", phone=True)
    page.goto(f"{market[0]}/stock")
    expect(page.get_by_test_id("hold-form")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.screenshot(path=tmp_path / "stock-phone.png", full_page=True)
    assert page.evaluate(CONTRAST) == []
    page.context.close()


def turn_down_by_keyboard(page: Page) -> None:
    """Reject a return without a mouse; what it is rejected for is asked in the page."""
    asked = page.get_by_test_id("order-returns").locator("li", has_text="不想要了")
    reason = asked.get_by_test_id("reject-reason")
    expect(reason).to_be_hidden()
    asked.get_by_test_id("reject-return").focus()
    page.keyboard.press("Enter")
    expect(reason).to_be_visible()
    page.keyboard.press("Tab")
    expect(reason).to_be_focused()
    page.keyboard.type("sold in spring")
    page.keyboard.press("Enter")
    expect(asked.locator(".tag")).to_have_attribute("data-state", "rejected", timeout=DEADLINE_MS)


def test_a_store_sees_its_refills_on_a_phone_and_no_money(
    chromium: Browser, market: tuple[str, str, dict[str, Login]], watch: Watch, tmp_path: Path
) -> None:
    page = open_desk(chromium, market, "store.shanghai@demo", watch, locale="en-GB", phone=True)
    expect(page.get_by_test_id("refills").locator("li")).to_have_count(2)
    expect(page.get_by_test_id("receivables")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.screenshot(path=tmp_path / "desk-phone.png", full_page=True)
    page.get_by_test_id("cancel-refill").first.click()
    expect(page.get_by_test_id("refills").locator("li")).to_have_count(1, timeout=DEADLINE_MS)
    page.context.close()


def test_the_brand_sees_every_dealer_and_approves_what_waits(
    chromium: Browser, market: tuple[str, str, dict[str, Login]], watch: Watch
) -> None:
    page = open_desk(chromium, market, "ops@demo", watch, locale="en-GB", phone=False)
    expect(page.get_by_test_id("accounts").locator("tbody tr")).to_have_count(2)
    newest = page.get_by_test_id("receivables").locator("tbody tr")
    expect(newest).to_have_count(20)
    shown = newest.first.locator("td").all_inner_texts()
    page.get_by_test_id("more-entries").click()
    expect(page).to_have_url(re.compile(r"/desk\?entries="), timeout=DEADLINE_MS)
    assert newest.first.locator("td").all_inner_texts() != shown
    page.go_back()
    expect(page).to_have_url(f"{market[0]}/desk", timeout=DEADLINE_MS)
    page.locator("tr", has=page.locator('[data-state="submitted"]')).get_by_role("link").click()
    page.get_by_test_id("approve-order").click()
    expect(page.get_by_test_id("order-state")).to_have_attribute("data-state", "allocated", timeout=DEADLINE_MS)
    page.context.close()


def test_a_place_asks_another_for_goods_which_are_sent_in_part_received_and_given_up(
    chromium: Browser, market: tuple[str, str, dict[str, Login]], watch: Watch, tmp_path: Path
) -> None:
    page = open_desk(chromium, market, "ops@demo", watch, locale="zh-CN", phone=False)
    page.get_by_role("link", name="调拨", exact=True).click()
    expect(page.locator("h1")).to_have_text("调拨")
    page.get_by_test_id("ask-from").select_option("wh-brand")
    page.get_by_test_id("ask-to").select_option("wh-north")
    articles = page.get_by_test_id("ask-sku").locator("option")
    expect(articles.nth(3)).to_be_attached(timeout=DEADLINE_MS)
    page.get_by_test_id("ask-sku").select_option(index=1)
    page.get_by_test_id("ask-units").fill("6")
    page.get_by_test_id("ask-reference").fill("春季促销")
    page.screenshot(path=tmp_path / "transfers-zh.png", full_page=True)
    assert page.evaluate(CONTRAST) == []
    page.get_by_test_id("ask").click()
    state = page.get_by_test_id("transfer-state")
    expect(state).to_have_attribute("data-state", "requested", timeout=DEADLINE_MS)
    expect(page.get_by_test_id("way")).to_contain_text("春季促销")
    expect(page.get_by_test_id("lines").locator("tbody td").nth(1)).to_have_text("6")
    page.get_by_test_id("send-form").locator("input").fill("4")
    page.screenshot(path=tmp_path / "transfer-zh.png", full_page=True)
    page.get_by_test_id("send").click()
    expect(state).to_have_attribute("data-state", "part_sent", timeout=DEADLINE_MS)
    address = page.url
    page.context.close()
    page = open_desk(chromium, market, "dealer.north@demo", watch, locale="en-GB", phone=True)
    page.goto(address)
    # Who runs where it goes receives it, and cannot send it.
    expect(page.get_by_test_id("send-form")).to_have_count(0)
    page.get_by_test_id("received").fill("3")
    page.get_by_test_id("missing").fill("1")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.screenshot(path=tmp_path / "transfer-phone.png", full_page=True)
    assert page.evaluate(CONTRAST) == []
    page.get_by_test_id("receive").click()
    expect(page.get_by_test_id("receive-form")).to_have_count(0, timeout=DEADLINE_MS)
    page.get_by_test_id("close-reason").fill("enough for now")
    page.get_by_test_id("close-reason").press("Enter")
    state = page.get_by_test_id("transfer-state")
    expect(state).to_have_attribute("data-state", "received", timeout=DEADLINE_MS)
    expect(page.get_by_test_id("way")).to_contain_text("given up: enough for now")
    page.context.close()
