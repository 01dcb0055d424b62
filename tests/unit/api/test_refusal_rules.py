"""What was not accepted at the door is not owed: units by line, and their money to the last minor unit."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_api.logistics.proofs import Proof, ProofError, Taken, taken_of
from platform_api.orders.totals import WHOLE, Discount, PricedLine, credit_part, invoice_part, total_up

SENT = {1: 10, 2: 4}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def proof(accepted: dict[int, int] | None, missing: dict[int, int] | None) -> Proof:
    return Proof(signer="Sun Li", at=NOW, accepted=accepted, missing=missing)


@pytest.mark.parametrize(
    ("accepted", "missing", "taken"),
    [
        (None, None, {1: Taken(10, 0, 0), 2: Taken(4, 0, 0)}),
        ({1: 8, 2: 4}, None, {1: Taken(8, 0, 2), 2: Taken(4, 0, 0)}),
        ({1: 8, 2: 4}, {1: 2}, {1: Taken(8, 2, 0), 2: Taken(4, 0, 0)}),
        ({1: 7}, {1: 1}, {1: Taken(7, 1, 2), 2: Taken(0, 0, 4)}),
        (None, {2: 4}, {1: Taken(10, 0, 0), 2: Taken(0, 4, 0)}),
    ],
)
def test_what_is_neither_accepted_nor_missing_was_refused(
    accepted: dict[int, int] | None, missing: dict[int, int] | None, taken: dict[int, Taken]
) -> None:
    assert taken_of(SENT, proof(accepted, missing)) == taken


@pytest.mark.parametrize(
    ("accepted", "missing", "message"),
    [
        ({1: 11}, None, "line 1: 10 units were sent, not 11"),
        ({3: 0}, None, "line 3: 0 units were sent, not 0"),
        ({1: 8, 2: 4}, {1: 3}, "line 1: 10 units were sent, not 11"),
        (None, {1: 12}, "line 1: 10 units were sent, not 12"),
    ],
)
def test_a_proof_speaks_of_no_more_than_was_sent(
    accepted: dict[int, int] | None, missing: dict[int, int] | None, message: str
) -> None:
    with pytest.raises(ProofError, match=message):
        taken_of(SENT, proof(accepted, missing))


@given(st.data())
def test_owed_is_what_was_invoiced_less_what_did_not_stay_whatever_the_steps(data: st.DataObject) -> None:
    """Discounted and taxed lines leave in parts; of each part some is refused, later some comes back, at last all."""
    packs = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    lines = [
        PricedLine(number, count, data.draw(st.integers(0, 99_999)), data.draw(st.sampled_from([0, 600, 1300])))
        for number, count in enumerate(packs, start=1)
    ]
    discounts = {WHOLE: Discount(data.draw(st.integers(0, 10_000)), "a fair"), 1: Discount(333, "dented")}
    totals = total_up(lines, discounts)
    owed_in_all = 0
    for line in lines:
        taken = sum(one.amount_minor for one in totals.adjustments if one.line_no == line.line_no)
        gross, units = line.net_minor + taken, line.packs
        shipped = invoiced = pool = kept = steps = 0
        while shipped < units:
            part = data.draw(st.integers(1, units - shipped))
            shipped += part
            due = invoice_part(gross, units, invoiced, shipped)
            invoiced += due
            refused = data.draw(st.integers(0, part))
            credited = credit_part(due, part, refused)
            assert 0 <= credited <= due
            assert refused < part or credited == due
            pool, kept, steps = pool + due - credited, kept + part - refused, steps + 2
            back = data.draw(st.integers(0, kept))
            credited = credit_part(pool, kept, back)
            assert 0 <= credited <= pool
            pool, kept, steps = pool - credited, kept - back, steps + 1
            assert abs(pool * units - gross * kept) <= steps * units
        assert invoiced == gross
        pool -= credit_part(pool, kept, kept)
        assert pool == 0
        owed_in_all += invoiced
    assert owed_in_all == totals.total_minor


@given(st.integers(0, 10**15), st.integers(1, 10**6))
def test_a_delivery_that_was_refused_as_a_whole_is_credited_as_it_was_invoiced(invoiced: int, units: int) -> None:
    assert credit_part(invoiced, units, units) == invoiced
    assert credit_part(invoiced, units, 0) == 0
