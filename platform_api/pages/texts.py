"""The pages' languages: gettext catalogues, compiled when the process starts.

Message ids are the English texts. ``N_`` marks a text for the catalogue without translating it.
"""

from collections.abc import Iterable
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.core import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES: Final = Path(__file__).parent / "locales"
LANGUAGES: Final = {"en": "en", "zh": "zh-CN"}
"""Locale -> language tag in HTML."""
DEFAULT: Final = "en"
ACCEPT_MAX_CHARS: Final = 500


def N_(text: str) -> str:  # noqa: N802  # gettext's own name
    """Mark a text for the catalogue."""
    return text


SCRIPT_TEXTS: Final[dict[str, str]] = {
    # Connection
    "live": N_("Live"),
    "reconnecting": N_("Reconnecting…"),
    # Events, as a feed says them
    "sale": N_("sold"),
    "put_back": N_("put back"),
    "restock": N_("restocked"),
    "remove": N_("removed"),
    "adjust": N_("adjusted"),
    "unknown": N_("unclear"),
    "left_on_shelf": N_("{count} left"),
    # Slots
    "comma": N_(", "),
    "slot_label": N_("{sku}: {count} of {capacity}"),
    "reorder_at": N_("reorder at {count}"),
    "not_counted": N_("not counted yet"),
    "state_low": N_("below the reorder point"),
    "state_out": N_("empty"),
    "slots_low": N_("{count} low"),
    "shelf": N_("Shelf"),
    # Anomalies
    "stuck_sensor": N_("Stuck sensor"),
    "dropout": N_("Silent"),
    "spike": N_("Spike"),
    "drift": N_("Drift"),
    "shrinkage": N_("Shrinkage"),
    "phantom_inventory": N_("Phantom inventory"),
    "cold_chain": N_("Cold chain"),
    "demand_shift": N_("Demand shift"),
    "device_fault": N_("Device fault"),
    "new_anomaly": N_("New anomaly: {kind}, {place}"),
    "severity_high": N_("high"),
    "severity_medium": N_("medium"),
    "severity_low": N_("low"),
    "since": N_("since {time}"),
    "ended": N_("{start} to {end}"),
    # Proposals
    "count_units": N_("{count} units"),
    "state_open": N_("open"),
    "state_approved": N_("approved"),
    "state_ordered": N_("ordered"),
    "state_acknowledged": N_("acknowledged"),
    # Evidence
    "on_shelf": N_("on shelf"),
    "on_order": N_("on order"),
    "reorder_point": N_("reorder point"),
    "target": N_("target"),
    "capacity": N_("capacity"),
    "position": N_("position"),
    "limit_c": N_("limit °C"),
    "limit_s": N_("limit s"),
    "max_c": N_("warmest °C"),
    "duration_s": N_("lasted s"),
    "silent_s": N_("silent s"),
    "interval_s": N_("interval s"),
    "expected": N_("expected"),
    "observed": N_("observed"),
    "value": N_("value"),
    "baseline": N_("baseline"),
    "run_length": N_("equal readings"),
    "missing_units": N_("missing units"),
    "on_hand": N_("on hand"),
    "slots": N_("slots"),
    "peak": N_("peak"),
    "before": N_("before"),
    "returned": N_("afterwards"),
    "outside_range": N_("beyond the sensor's range"),
    "typical_change": N_("typical change"),
    "typical_jump": N_("typical jump"),
    "units": N_("units"),
    "why": N_("reason"),
    "two_agents": N_("two agents with one name"),
    "fast_clock": N_("a clock that runs ahead"),
    "detail": N_("detail"),
    "ahead_s": N_("ahead, s"),
    "lane": N_("lane"),
    "ep": N_("outbox"),
    "above_s": N_("above the limit, s"),
    "peak_c": N_("warmest °C"),
    "now_c": N_("now °C"),
    "unchanged_minutes": N_("unchanged, min"),
    "usual_share_unchanged": N_("usually unchanged, share"),
    "longest_before_minutes": N_("longest before, min"),
    "usual_unexplained_a_day": N_("usually unexplained a day"),
    "share_explained": N_("usually explained, share"),
    "hours_without_sale": N_("hours without a sale"),
    "sales_expected": N_("sales expected since"),
    "usual_sales_a_day": N_("usual sales a day"),
    "probability": N_("probability"),
    "stock": N_("stock"),
    "direction": N_("direction"),
    "up": N_("up"),
    "down": N_("down"),
    "log_likelihood_ratio": N_("log likelihood ratio"),
    "hours": N_("hours"),
    "g_per_hour": N_("g an hour"),
    "usual_g_per_hour": N_("usual g an hour"),
    "noise_g": N_("noise, g"),
    "usual_interval_s": N_("usual interval, s"),
    "squared_distance": N_("squared distance from its class"),
    "yes": N_("yes"),
    "no": N_("no"),
    # Chart and failures
    "weight_g": N_("Weight, g"),
    "failed": N_("That did not work: {reason}"),
    "save_first": N_("Save the cart first, so that you see what it costs."),
    "changed_meanwhile": N_("Someone else decided this a moment ago."),
}


@cache
def translations(locale: str) -> NullTranslations:
    """Catalogue of a locale in LANGUAGES; English needs none."""
    assert locale in LANGUAGES
    if locale == DEFAULT:
        return NullTranslations()
    with (LOCALES / f"{locale}.po").open("rb") as source:
        catalogue = read_po(source, locale=locale)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


def script_texts(locale: str) -> dict[str, str]:
    """Texts that the page's scripts show, by key."""
    catalogue = translations(locale)
    return {key: catalogue.gettext(text) for key, text in SCRIPT_TEXTS.items()}


def negotiate(chosen: str | None, accept: str) -> str:
    """The locale to answer in: the one chosen before, else the best of an Accept-Language header."""
    if chosen in LANGUAGES:
        return chosen
    wanted = [tag.replace("-", "_") for tag in _by_preference(accept[:ACCEPT_MAX_CHARS])]
    plain = [tag.partition("_")[0].lower() for tag in wanted]
    return negotiate_locale(plain, list(LANGUAGES)) or DEFAULT


def _by_preference(accept: str) -> Iterable[str]:
    weighted: list[tuple[float, str]] = []
    for item in accept.split(","):
        tag, _, parameter = item.strip().partition(";")
        name, _, weight = parameter.strip().partition("=")
        try:
            q = float(weight) if name.strip() == "q" else 1.0
        except ValueError:
            q = 0.0
        if tag and 0.0 < q <= 1.0:
            weighted.append((q, tag.strip()))
    # Stable: equals keep the browser's order.
    return [tag for _, tag in sorted(weighted, key=lambda pair: -pair[0])]
