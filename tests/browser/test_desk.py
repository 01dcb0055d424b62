"""The pages of daily work in a real Chromium, on the demo's channel."""

from collections.abc import Iterator
from pathlib import Path

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
    context = browser.new_context(viewport=PHONE if phone else DESKTOP, locale=locale)  # type: ignore[arg-type]  # a typed dict with these keys
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
    page.get_by_test_id("submit").click()
    # Within the dealer's credit, and nobody has to approve it.
    expect(page.get_by_test_id("order-state")).to_have_attribute("data-state", "allocated", timeout=DEADLINE_MS)
    with psycopg.connect(market[1]) as connection:
        approved = connection.execute("SELECT count(*) FROM proposal WHERE state = 'approved'").fetchone()
    assert approved == (1,)
    page.context.close()


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
    expect(page.get_by_test_id("receivables").locator("tbody tr")).to_have_count(20)
    page.locator("tr", has=page.locator('[data-state="submitted"]')).get_by_role("link").click()
    page.get_by_test_id("approve-order").click()
    expect(page.get_by_test_id("order-state")).to_have_attribute("data-state", "allocated", timeout=DEADLINE_MS)
    page.context.close()
