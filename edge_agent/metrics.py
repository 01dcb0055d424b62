"""What the agent shows to Prometheus. It reads the agent's own counts when it is scraped, so nothing is counted twice.

Names and what they mean stand in docs/runbook.md. Counters of the buses begin anew with each configuration, as after
a restart; ``rate`` and ``increase`` know that.
"""

import time
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge_agent.agent import Agent

PREFIX = "shelfpulse_edge_"
Rows = Iterable[tuple[tuple[str, ...], float]]


class AgentCollector(Collector):
    """Collects from one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """Metrics of one scrape."""
        yield from self._whole()
        yield from self._buses()
        yield from self._outbox()
        yield from self._uplink()
        yield from self._remote()

    def _whole(self) -> Iterator[Metric]:
        agent, now = self._agent, self._agent.clock.now()
        yield _gauge("up", "1 while all threads live and the outbox can be written", float(agent.is_healthy()))
        yield _gauge("clock_synced", "1 while the time can be believed", float(now.synced))
        yield _gauge("clock_offset_seconds", "UTC minus the monotonic clock", (now.utc_ms - now.mono_ms) / 1000)
        yield _counters("decisions", "Decisions of the inference", ("kind",), _by_one(agent.decisions.copy().items()))

    def _buses(self) -> Iterator[Metric]:
        polling, now_s = self._agent.polling, time.monotonic()
        pollers = polling.pollers.items()
        counts = [(device, each) for _, poller in pollers for device, each in poller.counts.items()]
        ages = [((device,), now_s - at_s) for device, at_s in polling.answered_s().items()]
        errors = [
            ((device, kind), float(n))
            for device, each in counts
            for kind, n in (("refused", each.refusals), ("garbled", each.garbled), ("silent", each.silences))
        ]
        yield _gauge("devices", "Devices that are polled", len(polling.settings.devices))
        yield _gauge("devices_silent", "Devices that do not answer", len(polling.silent))
        yield _gauge("devices_slow", "Devices asked less often than configured", sum(len(p.slow) for _, p in pollers))
        yield _gauges("device_answer_age_seconds", "Since its last answer", ("device",), ages)
        yield _counters("requests", "Modbus requests", ("device",), (((d,), float(c.requests)) for d, c in counts))
        yield _counters("request_errors", "Requests that brought nothing", ("device", "kind"), errors)
        busy = [((bus,), each.busy_s) for bus, each in polling.buses.items()]
        yield _counters("bus_busy_seconds", "Time that requests took a bus", ("bus",), busy)
        yield _counters("polls", "Polls of devices", ("bus",), (((b,), float(p.polls)) for b, p in pollers))
        missed = (((b,), float(p.missed)) for b, p in pollers)
        yield _counters("polls_missed", "Deadlines for which a bus had no time", ("bus",), missed)
        late = (((b,), p.late_s) for b, p in pollers)
        yield _counters("polls_late_seconds", "Delay of polls after their deadlines", ("bus",), late)
        yield _counter("values_polled", "Values read from devices", polling.polled)

    def _outbox(self) -> Iterator[Metric]:
        agent = self._agent
        depth, outbox = agent.outbox.depth(), agent.outbox
        yield _gauge("outbox_frames", "Frames that the platform has not committed", depth.frames)
        yield _gauge("outbox_oldest_seconds", "Age of the oldest of them", depth.oldest_s)
        yield _gauge("outbox_bytes", "Their size", outbox.size_bytes())
        yield _gauge("outbox_bytes_max", "Size beyond which the oldest are given up", agent.base.outbox_max_bytes)
        yield _gauge("outbox_files_set_aside", "Damaged or foreign files since the start", agent.outbox.set_aside)
        yield _gauge("outbox_full", "1 while the disk takes no frames", float(agent.writer.is_full))
        yield _counter("readings_refused", "Readings that found no room", agent.writer.refused_readings)
        yield _counter("frames_unwritten", "Frames of any lane that found no room", agent.writer.refused_frames)
        written = (((lane,), float(account.seq)) for lane, account in outbox.sent().items())
        yield _counters("frames_written", "Frames written to the outbox", ("lane",), written)
        gaps = _by_two(outbox.gap_totals().items())
        yield _gauges("gap_frames", "Frames given up, in the gaps that are remembered", ("lane", "reason"), gaps)

    def _uplink(self) -> Iterator[Metric]:
        sender = self._agent.sender
        counts = sender.counts
        yield _gauge("connected", "1 while the broker is connected", float(sender.is_connected))
        yield _gauge("offline", "1 while readings go to the bulk lane", float(sender.is_offline))
        alarms = (((alarm.value,), 1.0) for alarm in sender.alarms)
        yield _gauges("alarm", "1 for what somebody has to look after", ("kind",), alarms)
        yield _counter("frames_published", "Frames published, resends included", counts.published)
        yield _counter("frames_received", "Frames that the broker has taken", counts.pubacks)
        yield _counter("acks", "Acknowledgements from the platform", counts.acks)
        yield _counter("go_backs", "Lanes that went back to their watermark", counts.go_backs)
        yield _counter("frames_refused", "Frames set aside because they never passed", counts.refused)
        yield _counter("holds", "Times that the broker asked for a rest", counts.holds)
        yield _counter("connects", "Connections to the broker", counts.connects)
        yield _counter("connect_failures", "Connections that failed or ended", counts.failures)

    def _remote(self) -> Iterator[Metric]:
        remote = self._agent.remote
        commands = _by_two(remote.executor.outcomes.copy().items())
        yield _counters("commands", "Commands by what became of them", ("kind", "state"), commands)
        yield _counter("commands_repeated", "Commands that came again", remote.repeated)
        yield _counter("downlink_unreadable", "Messages of the platform that are none", remote.unreadable)
        configs = _by_one(remote.configurator.outcomes.copy().items())
        yield _counters("configs", "Configurations by what became of them", ("outcome",), configs)
        yield _gauge("config_version", "Version in force, 0 for edge.toml alone", remote.configurator.version or 0)
        yield _gauge("config_on_trial", "1 while one is on trial", float(remote.configurator.is_trying))


def _by_one(rows: Iterable[tuple[str, int]]) -> Rows:
    return [((label,), float(value)) for label, value in rows]


def _by_two(rows: Iterable[tuple[tuple[str, str], int]]) -> Rows:
    return [(labels, float(value)) for labels, value in rows]


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _gauges(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counters(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family
