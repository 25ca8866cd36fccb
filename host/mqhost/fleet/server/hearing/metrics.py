"""Gives the figures of a fleet as Prometheus reads them: they are counted when somebody asks.

What is counted since the server began is this server's own share, where there are several.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from mqhost.fleet.server.fleet import Fleet

_MOST = 100  # versions that are told apart: boards say what they like
_OTHER = "other"
Labelled = Counter[tuple[str, ...]]


def expose(fleet: "Fleet", accept: str) -> tuple[bytes, str]:
    """Return the figures, and their content type, as a scraper that sends `accept` wants them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(fleet))
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


class _Figures(Collector):
    def __init__(self, fleet: "Fleet") -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        yield from self._boards()
        yield from self._rollouts()
        yield from self._counted()

    def _boards(self) -> Iterator[Metric]:
        boards = self._fleet.live.boards()
        states: Labelled = Counter((one.state, _text(one.fact("board"))) for one in boards)
        online = [one for one in boards if one.online]
        versions: Labelled = Counter(
            (_text(one.fact("board")), _text(one.fact("version"))) for one in online
        )
        modes = Counter(_text(one.fact("mode")) for one in online)
        crashed = sum(bool(one.status.get("crashes")) for one in boards)
        yield _gauge("boards", "Boards by state and type.", ("state", "board"), states)
        yield _gauge(
            "boards_by_version", "Boards online by version.", ("board", "version"), _few(versions)
        )
        yield _gauge("boards_by_mode", "Boards online by mode.", ("mode",), _few(_single(modes)))
        yield GaugeMetricFamily(
            "mqboard_boards_with_crashes", "Boards with crashes nobody has cleared.", crashed
        )

    def _rollouts(self) -> Iterator[Metric]:
        store = self._fleet.store
        rollouts, counts = store.rollouts(self._fleet.broker), store.counts()
        states = Counter(one.state for one in rollouts)
        boards: Counter[str] = Counter()
        for one in rollouts:
            boards.update(counts.get(one.id, {}))
        yield _gauge("rollouts", "Rollouts by state.", ("state",), _single(states))
        yield _gauge(
            "rollout_boards", "Boards of all rollouts by state.", ("state",), _single(boards)
        )

    def _counted(self) -> Iterator[Metric]:
        fleet = self._fleet
        jobs = CounterMetricFamily(
            "mqboard_jobs", "Jobs that have ended.", labels=("what", "result")
        )
        for (what, state), count in sorted(fleet.jobs.ended.items()):
            jobs.add_metric((what, state), count)
        yield jobs
        running = sum(not job.over.is_set() for job in fleet.jobs.all())
        yield GaugeMetricFamily("mqboard_jobs_running", "Jobs that wait or run.", running)
        for name, text, value in (
            ("reconnects", "Boards that came back.", fleet.reconnects),
            ("crashes", "Crash records that came in.", fleet.ingest.crashes),
            ("log_lines", "Lines of logs that came in.", fleet.ingest.lines),
            ("ingest_dropped", "What was too much for the database.", fleet.ingest.dropped),
            ("asked", "Questions for the history.", fleet.sampler.asked),
            ("asked_in_vain", "Those without an answer.", fleet.sampler.silent),
            ("transfer_bytes", "Bytes of updates sent.", fleet.bytes_sent),
        ):
            yield CounterMetricFamily(f"mqboard_{name}", text, value)
        for name, text, value in (
            ("broker_connected", "Whether the broker is there.", fleet.live.connected),
            ("ingest_connected", "Whether logs come in.", fleet.ingest.listening),
            ("ingest_shared", "Whether servers share them.", fleet.ingest.shared),
            ("servers", "Servers on the database.", len(fleet.servers.alive)),
        ):
            yield GaugeMetricFamily(f"mqboard_{name}", text, float(value))


def _gauge(name: str, text: str, labels: tuple[str, ...], counts: Labelled) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"mqboard_{name}", text, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family


def _single(counts: Counter[str]) -> Labelled:
    return Counter({(name,): count for name, count in counts.items()})


def _few(counts: Labelled) -> Labelled:
    """Return the most frequent; all others together."""
    few: Labelled = Counter(dict(counts.most_common(_MOST)))
    rest = counts.total() - few.total()
    if rest:
        few[(_OTHER,) * len(next(iter(few)))] += rest
    return few


def _text(value: str) -> str:
    return value[:60] or "unknown"
