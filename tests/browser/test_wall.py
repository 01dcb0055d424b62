"""The live page in a real Chromium, on a real server and database; screenshots go to the test's folder."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from msgspec.json import encode
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect, sync_playwright

from contracts.facts import LiveNotice
from tests.integration.api.serving import serve
from tests.integration.api.world import PASSWORD, World, add_anomaly, add_event, notify, seed

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
SLOT = '[data-slot="gw-east-1/s01-b1"]'
DEADLINE_MS = 30_000


@dataclass
class Watch:
    """What a page did that it must not do."""

    faults: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    def on(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        self.urls.append(request.url)

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status} {response.url}")

    @property
    def hosts(self) -> set[str | None]:
        return {urlsplit(url).hostname for url in self.urls if not url.startswith("data:")}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def world(database: str) -> World:
    return seed(database)


@pytest.fixture
def server(world: World) -> Iterator[str]:
    with serve(world.dsn) as url:
        yield url


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test when a page logged an error, or asked any host but ours."""
    watched = Watch()
    yield watched
    assert watched.faults == []
    assert watched.hosts == {"127.0.0.1"}


def open_wall(
    browser: Browser, server: str, watch: Watch, *, locale: str = "en-GB", phone: bool = False, dark: bool = False
) -> Page:
    context = browser.new_context(
        viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]  # a typed dict with these keys
        locale=locale,
        color_scheme="dark" if dark else "light",
    )
    context.set_default_timeout(DEADLINE_MS)
    page = context.new_page()
    watch.on(page)
    page.goto(server)
    expect(page).to_have_url(f"{server}/login")
    page.locator("#login").fill("ops@acme")
    page.locator("#password").fill(PASSWORD)
    page.locator("button.primary").click()
    expect(page.get_by_test_id("link")).to_have_attribute("data-state", "live", timeout=DEADLINE_MS)
    return page


@pytest.fixture
def wall(chromium: Browser, server: str, watch: Watch) -> Iterator[Page]:
    page = open_wall(chromium, server, watch)
    yield page
    page.context.close()


def test_the_wall_shows_everything_at_once(wall: Page, tmp_path: Path) -> None:
    expect(wall.get_by_test_id("tenant")).to_have_text("Acme")
    expect(wall.get_by_test_id("site")).to_have_count(2)
    expect(wall.locator(SLOT)).to_have_attribute("aria-label", "Green tea: 12 of 24, reorder at 8")
    expect(wall.get_by_test_id("event")).to_have_count(6)
    expect(wall.get_by_test_id("anomaly")).to_have_count(2)
    expect(wall.get_by_test_id("proposal")).to_have_count(2)
    expect(wall.locator('[data-total="devices"]')).to_contain_text("/ 2")
    expect(wall.locator('[data-total="anomalies_open"]')).to_have_text("2")
    expect(wall.locator("#slot canvas")).to_be_visible()
    wall.screenshot(path=tmp_path / "wall.png")


def test_a_sale_appears_without_a_reload(wall: Page, world: World, tmp_path: Path) -> None:
    wall.evaluate("window.sameDocument = true")
    with psycopg.connect(world.dsn) as connection:
        add_event(connection, "acme", "east-1", "sold-now", -5, 7)
        notify(connection, encode(LiveNotice("acme", ["east-1"], readings=1, events=1)).decode())
    newest = wall.get_by_test_id("event").first
    expect(newest).to_have_attribute("data-id", "gw-east-1/sold-now", timeout=DEADLINE_MS)
    expect(newest.locator(".delta")).to_have_text("\N{MINUS SIGN}5")
    expect(wall.locator(SLOT)).to_have_attribute("data-state", "low")
    expect(wall.locator(f"{SLOT} .units")).to_have_text("7")
    assert wall.evaluate("window.sameDocument") is True
    wall.screenshot(path=tmp_path / "sale.png")


def test_an_anomaly_is_acknowledged_then_dismissed(wall: Page, world: World) -> None:
    anomaly = str(world.acme.anomaly)
    card = wall.locator(f'[data-id="{anomaly}"]')
    expect(card.locator("svg.spark polyline")).to_have_attribute("points", "0,38 120,2 240,20")
    card.get_by_test_id("acknowledge").click()
    expect(card).to_have_attribute("data-state", "acknowledged")
    expect(card.get_by_test_id("acknowledge")).to_be_hidden()
    card.get_by_test_id("dismiss").click()
    expect(card).to_have_count(0)
    with psycopg.connect(world.dsn) as connection:
        stored = connection.execute(
            "SELECT state, label FROM anomaly WHERE anomaly_id = %s", (world.acme.anomaly,)
        ).fetchone()
    assert stored == ("dismissed", "false")


def test_a_proposal_is_approved(wall: Page, world: World) -> None:
    card = wall.locator(f'[data-id="{world.acme.proposal}"]')
    expect(card.locator(".evidence")).to_contain_text("s01-b1 8")
    card.get_by_test_id("approve").click()
    expect(card).to_have_attribute("data-state", "approved")
    expect(card.get_by_test_id("approve")).to_be_hidden()


def test_a_new_anomaly_is_announced_and_what_another_person_decides_is_seen(wall: Page, world: World) -> None:
    anomaly = uuid4()
    with psycopg.connect(world.dsn) as connection:
        add_anomaly(connection, "acme", "west-1", anomaly, at=datetime.now(UTC))
        notify(connection, encode(LiveNotice("acme", ["west-1"], anomalies=1)).decode())
    card = wall.locator(f'[data-id="{anomaly}"]')
    expect(card).to_be_visible(timeout=DEADLINE_MS)
    expect(wall.locator("#announcer")).to_have_text("New anomaly: Stuck sensor, west-1 · gw-west-1/s01-b1")
    with psycopg.connect(world.dsn) as connection:
        connection.execute(
            "UPDATE anomaly SET state = 'resolved', version = 2, decided_at = now() WHERE anomaly_id = %s", (anomaly,)
        )
        notify(connection, encode(LiveNotice("acme", ["west-1"], anomalies=1)).decode())
    expect(card).to_have_count(0, timeout=DEADLINE_MS)


def test_another_slot_is_chosen_with_the_keyboard_and_its_values_arrive(wall: Page, world: World) -> None:
    wall.locator('[data-slot="gw-west-1/s01-b1"]').focus()
    wall.keyboard.press("Enter")
    expect(wall.get_by_test_id("slot-panel")).to_contain_text("gw-west-1")
    expect(wall.locator('[data-slot="gw-west-1/s01-b1"]')).to_have_attribute("aria-current", "")
    with psycopg.connect(world.dsn) as connection:
        connection.execute(
            """UPDATE latest_value SET time = now(), value = 4321
               FROM series s WHERE s.series_id = latest_value.series_id AND s.tenant_id = 'acme'
                               AND s.gateway_id = 'gw-west-1'"""
        )
        notify(connection, encode(LiveNotice("acme", ["west-1"], readings=1)).decode())
    expect(wall.locator('[data-field="weight"]')).to_have_text("4,321", timeout=DEADLINE_MS)


def test_the_language_is_the_browsers_until_one_is_chosen(
    chromium: Browser, server: str, watch: Watch, tmp_path: Path
) -> None:
    page = open_wall(chromium, server, watch, locale="zh-CN")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("#anomalies-title")).to_contain_text("异常")
    expect(page.locator(SLOT)).to_have_attribute("aria-label", "绿茶：12 / 24，补货点 8")  # Chinese punctuation
    page.screenshot(path=tmp_path / "chinese.png")
    page.get_by_test_id("lang-en").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#anomalies-title")).to_contain_text("Anomalies")
    expect(page.get_by_test_id("link")).to_have_attribute("data-state", "live", timeout=DEADLINE_MS)
    page.context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_overflows_on_a_phone(
    chromium: Browser, server: str, watch: Watch, tmp_path: Path, *, dark: bool
) -> None:
    page = open_wall(chromium, server, watch, phone=True, dark=dark)
    expect(page.locator("#slot canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.screenshot(path=tmp_path / f"phone-{'dark' if dark else 'light'}.png", full_page=True)
    page.context.close()


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const style = getComputedStyle(element);
    if (!own || !element.checkVisibility() || element.closest("script, template, .unseen, .skip, .bar")) continue;
    const [a, b] = [light(parse(style.color)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push([element.className || element.tagName, element.textContent.trim(), ratio.toFixed(2)]);
  }
  return poor;
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(chromium: Browser, server: str, watch: Watch, *, dark: bool) -> None:
    page = open_wall(chromium, server, watch, dark=dark)
    expect(page.get_by_test_id("anomaly")).to_have_count(2)
    assert page.evaluate(CONTRAST) == []
    page.context.close()


def test_every_control_has_a_name_and_ids_are_unique(wall: Page) -> None:
    nameless = wall.evaluate(
        """() => [...document.querySelectorAll("button, a, input")].filter((one) => one.checkVisibility()
             && !(one.getAttribute("aria-label") || one.textContent).trim()).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    ids = wall.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))


def test_every_page_is_one_click_from_the_wall(wall: Page) -> None:
    ways = wall.get_by_role("navigation", name="Pages")
    expect(ways.locator("[aria-current=page]")).to_have_text("Live")
    for name, path in (("Desk", "/desk"), ("Stock", "/stock"), ("Transfers", "/transfers")):
        wall.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(wall).to_have_url(re.compile(f"{path}$"))
        wall.go_back()
        expect(wall.get_by_test_id("totals")).to_be_visible()


def test_the_reference_is_readable_offline(wall: Page, server: str) -> None:
    wall.goto(f"{server}/docs")
    expect(wall.locator(".opblock").first).to_be_visible(timeout=DEADLINE_MS)
    # It draws what is in sight, and the rest on the way down.
    expect(wall.locator(".opblock").nth(5)).to_be_attached(timeout=DEADLINE_MS)


def test_a_page_finds_its_way_back_after_the_server_was_away(chromium: Browser, world: World, watch: Watch) -> None:
    with serve(world.dsn) as first:
        page = open_wall(chromium, first, watch)
        port = urlsplit(first).port
        assert port is not None
    expect(page.get_by_test_id("link")).to_have_attribute("data-state", "reconnecting", timeout=DEADLINE_MS)
    with psycopg.connect(world.dsn) as connection:
        add_event(connection, "acme", "east-1", "while-away", -2, 10)
    with serve(world.dsn, port=port):
        newest = page.get_by_test_id("event").first
        expect(newest).to_have_attribute("data-id", "gw-east-1/while-away", timeout=DEADLINE_MS)
        page.context.close()
    # A refused connection is what this test is about.
    watch.faults = [fault for fault in watch.faults if "ERR_" not in fault]


def test_logging_out_leads_to_the_form(wall: Page, server: str) -> None:
    wall.get_by_test_id("logout").click()
    expect(wall).to_have_url(f"{server}/login")
    wall.goto(server)
    expect(wall).to_have_url(f"{server}/login")
