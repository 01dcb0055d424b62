"""A quarter of the demo's trade: whole, believable, the same each time, and true by the books."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from deploy.demo import market
from deploy.demo.channel import assortment, history, seeding
from deploy.demo.channel.demand import units_sold
from deploy.demo.channel.desk import Desk
from deploy.demo.channel.pictures import picture_of
from deploy.verify import verify
from platform_api.catalogue.pictures import media_type_of
from platform_api.kit.gtin import has_check_digit
from tests.services.channels import UNTIL, register_companies, seed
from tests.services.databases import Server, clone

# Half a minute on a machine of its own, much more beside other tests.
pytestmark = pytest.mark.timeout(900)

CONTENT: LiteralString = """
SELECT md5(string_agg(text, E'\\n' ORDER BY text)) FROM (
    SELECT concat_ws('|', 'order', org_id, ship_to, state, reference, total_minor, created_at) AS text FROM sales_order
    UNION ALL SELECT concat_ws('|', 'entry', location_id, sku, units, value_minor, happened_at) FROM stock_entry
    UNION ALL SELECT concat_ws('|', 'owed', org_id, kind, amount_minor, at) FROM ar_entry
    UNION ALL SELECT concat_ws('|', 'sold', site, sku, units, sold_at) FROM pos_sale
    UNION ALL SELECT concat_ws('|', 'proposal', site_id, sku, units, state, created_at) FROM proposal
) content
"""


@pytest.fixture(scope="module")
def channel(postgres_server: Server) -> Iterator[str]:
    """A database with the demo's channel, for tests that only look."""
    with clone(postgres_server) as dsn:
        register_companies(dsn)
        seed(dsn)
        yield dsn


def ask(dsn: str, query: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def test_the_books_of_a_quarter_hold(channel: str) -> None:
    report = verify(channel)
    assert report.ok, report.broken


def test_what_an_orders_history_tells_last_happened_last(channel: str) -> None:
    """No order is closed before something else happened to it."""
    assert ask(
        channel,
        """SELECT order_no, action, at FROM (
               SELECT *, max(at) OVER (PARTITION BY order_id ORDER BY event_no ROWS UNBOUNDED PRECEDING) AS latest
               FROM order_event JOIN sales_order USING (tenant_id, order_id)) told
           WHERE at < latest""",
    ) == []  # fmt: skip


def test_there_is_something_of_everything_that_pages_show(channel: str) -> None:
    assert ask(channel, "SELECT count(*), count(DISTINCT gtin) FROM sku") == [(60, 60)]
    assert ask(channel, "SELECT count(*) FROM sku_pack WHERE gtin <> ''") == [(60,)]
    assert ask(channel, "SELECT count(*) FROM sku_image") == [(60,)]
    states = {state for (state,) in ask(channel, "SELECT DISTINCT state FROM sales_order")}
    assert states == {
        "draft", "submitted", "credit_hold", "allocated", "part_shipped", "shipped", "delivered", "closed"
    }  # fmt: skip
    assert {state for (state,) in ask(channel, "SELECT DISTINCT state FROM proposal")} == {
        "open", "received", "rejected"
    }  # fmt: skip
    assert {state for (state,) in ask(channel, "SELECT DISTINCT state FROM refill_task")} == {"open", "cancelled"}
    assert {state for (state,) in ask(channel, "SELECT DISTINCT state FROM order_return")} == {
        "requested", "approved", "received"
    }  # fmt: skip
    kinds = {kind for (kind,) in ask(channel, "SELECT DISTINCT kind FROM ar_entry")}
    assert kinds == {"invoice", "payment", "credit_note"}
    ((orders, weeks),) = ask(
        channel, "SELECT count(*), count(DISTINCT date_trunc('week', created_at)) FROM sales_order"
    )
    assert orders > 40
    assert weeks >= history.WEEKS
    assert ask(channel, "SELECT count(*) > 0 FROM order_discount") == [(True,)]
    assert ask(channel, "SELECT count(*) > 0 FROM shipment_line WHERE accepted < units") == [(True,)]
    assert ask(channel, "SELECT count(*) FROM pos_inbox") == [(0,)]


def test_things_happened_in_the_quarter_and_in_their_order(channel: str) -> None:
    first, last = UNTIL - timedelta(days=7 * history.WEEKS + 1), UNTIL
    for table, column in (("sales_order", "created_at"), ("ar_entry", "at"), ("stock_move", "posted_at")):
        query = f"SELECT min({column}), max({column}) FROM {table}"  # noqa: S608 - names from the line above
        ((begin, end),) = ask(channel, query)
        assert first <= begin <= end <= last, table
    out_of_order = """
        SELECT count(*) FROM shipment s JOIN sales_order o USING (tenant_id, order_id)
        WHERE s.dispatched_at < o.submitted_at OR s.delivered_at < s.dispatched_at
    """
    assert ask(channel, out_of_order) == [(0,)]


def test_no_store_sells_what_it_has_not_got(channel: str) -> None:
    assert ask(channel, "SELECT count(*) FROM stock_balance WHERE on_hand < 0 OR value_minor < 0") == [(0,)]


def test_a_history_that_was_stopped_goes_on_and_comes_to_the_same(
    postgres_server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "WEEKS", 2)
    play = history.play

    def stop(desk: Desk, week: history.Week, seed_: int) -> None:
        if week.number == 1:
            raise InterruptedError
        play(desk, week, seed_)

    register_companies(database)
    monkeypatch.setattr(history, "play", stop)
    with pytest.raises(InterruptedError):
        seed(database)
    monkeypatch.setattr(history, "play", play)
    counts = seed(database)
    assert counts == seed(database), "a third time changes nothing"
    with clone(postgres_server) as straight:
        register_companies(straight)
        assert seed(straight) == counts
        assert ask(straight, CONTENT) == ask(database, CONTENT)


def test_the_api_cannot_write_with_another_time(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("SELECT set_config('app.book_time', '2020-01-01T00:00:00Z', true)")
        assert connection.execute("SELECT book_time()").fetchone() == (datetime(2020, 1, 1, tzinfo=UTC),)
        connection.execute("SET LOCAL ROLE shelfpulse_api")
        assert connection.execute("SELECT book_time() = now()").fetchone() == (True,)


def test_every_number_has_its_check_digit_and_every_article_its_picture() -> None:
    articles = assortment.ARTICLES
    assert len({article.sku for article in articles}) == len(articles) == 60
    for place, article in enumerate(articles):
        assert has_check_digit(market.gtin_of(place))
        assert has_check_digit(assortment.case_gtin_of(place))
        assert media_type_of(picture_of(article.sku, place, len(articles))) == "image/png"


def test_a_day_of_a_store_is_the_same_for_the_same_seed_and_differs_for_another() -> None:
    day = date(2026, 3, 7)
    assert units_sold(seeding.SEED, 0, 4, day) == units_sold(seeding.SEED, 0, 4, day)
    assert units_sold(seeding.SEED, 0, 4, day) != units_sold(seeding.SEED + 1, 0, 4, day)
    week = history.weeks_before(day)[0]
    assert replace(week, number=1).monday == day - timedelta(days=91)


def test_a_step_that_ran_into_a_deadlock_is_taken_again(postgres_server: Server) -> None:
    """A worker that books what the shelves saw waits for the week, and the week for it: only the week sees that."""
    tries: list[int] = []
    with clone(postgres_server) as dsn, psycopg.connect(dsn) as worker, psycopg.connect(dsn, autocommit=True) as ours:
        worker.execute("SET deadlock_timeout = '1h'")
        worker.execute("SELECT pg_advisory_xact_lock(1)")
        waiting = threading.Thread(target=worker.execute, args=("SELECT pg_advisory_xact_lock(2)",))

        def step() -> str:
            tries.append(len(tries))
            with ours.transaction():
                if len(tries) > 1:
                    return "done"
                ours.execute("SELECT pg_advisory_xact_lock(2)")
                waiting.start()
                ours.execute("SELECT pg_advisory_xact_lock(1)")
            raise AssertionError

        assert seeding.in_peace(step) == "done"
        waiting.join()
    assert tries == [0, 1]
