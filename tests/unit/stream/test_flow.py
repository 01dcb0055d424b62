"""What processes of the stream hear, and what each of their buckets is told."""

from datetime import UTC, datetime

import pytest

from contracts.ids import BUCKETS
from stream import fence, metrics
from stream.facts import Tick
from stream.flow import PLAIN, partitions
from stream.settings import StreamSettings
from stream.ticking import SILENCE_EVERY, Silence, heard

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize("processes", [1, 2, 3, 64])
def test_who_reads_plain_messages_hears_gateways_of_every_bucket(processes: int) -> None:
    for span in fence.spans(processes):
        reads_plain = PLAIN in [spec.name for spec in partitions(span)]
        assert reads_plain == (span.first == 0)
        assert heard(span) == (range(BUCKETS) if reads_plain else span.buckets)


def test_every_bucket_that_is_heard_is_told_that_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = fence.spans(2)
    for span, buckets in ((first, range(BUCKETS)), (second, range(32, 64))):
        monkeypatch.setattr(metrics.HEALTH, "_ready", {"up": True})
        times = iter((NOW, NOW + SILENCE_EVERY))
        silence = Silence(heard(span), times.__next__)
        assert list(silence([Tick()])) == []
        assert [chunk.bucket for _, chunk in silence([Tick()])] == list(buckets)
        assert list(silence([])) == []


def test_the_age_of_what_is_refused_is_the_one_that_the_worker_drops_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELFPULSE_RETENTION_DAYS", "30")
    settings = StreamSettings(dsn="postgresql://x", mqtt_url="mqtt://x")
    assert settings.retention.days == 30
