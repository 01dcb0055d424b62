"""Rows of what gateways answer. Pure."""

from stream import clean
from stream.facts import AnswerRow, Arrival
from stream.shelves import moment


def answers_of(arrival: Arrival, limits: clean.Limits) -> tuple[AnswerRow, ...]:
    """Answers as of when they were given, as far as that is known."""
    if not arrival.answers:
        return ()
    is_known = arrival.sync and clean.check_times(arrival.t0_ms, arrival.t0_ms, limits) is None
    at = moment(arrival.t0_ms if is_known else arrival.message.received_ms)
    address = arrival.address
    return tuple(
        AnswerRow(address.tenant, address.gateway, each.cmd, each.state, each.result, each.error, each.cfg,
                  each.applied, at)
        for each in arrival.answers
    )  # fmt: skip
