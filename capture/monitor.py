"""Health and metrics of the edge, for the people who run it; served on loopback only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric
    from starlette.requests import Request

    from capture.counter import Counter
    from capture.outbox import Outbox
    from capture.playlist import Playlist
    from capture.uplink import Uplink
    from inference.perception import Perception

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class EdgeParts:
    """What health is read from.

    Attributes:
        counters: Counters by code.
        playlists: Playlists by the code of their counter; filled as they start.
        outbox: Where signals wait.
        uplink: None without a centre.
        perception: The networks that are loaded.
    """

    counters: Mapping[str, Counter]
    playlists: Mapping[str, Playlist]
    outbox: Outbox
    uplink: Uplink | None
    perception: Perception


def build_monitor(edge: EdgeParts) -> Starlette:
    """Build `/healthz` (what runs and what is wrong, as JSON) and `/metrics` (Prometheus)."""
    registry = CollectorRegistry()
    registry.register(_EdgeCollector(edge))

    def healthz(_: Request) -> Response:
        found = health(edge)
        return JSONResponse(found, 200 if found["status"] == "ok" else 503)

    def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=_TEXT)

    return Starlette(routes=[Route("/healthz", healthz), Route("/metrics", metrics)])


def health(edge: EdgeParts) -> dict[str, Any]:
    """Return what really runs and every reason to look after this edge."""
    uplink = edge.uplink.state if edge.uplink is not None else None
    problems = [f"{code}: {playlist.error}" for code, playlist in edge.playlists.items() if playlist.error]
    if uplink is not None and uplink.last_error is not None:
        problems.append(f"uplink: {uplink.last_error}")
    if uplink is not None and (clock := uplink.clock_problem()) is not None:
        problems.append(f"clock: {clock}")
    counters = {code: counter.status() for code, counter in edge.counters.items()}
    problems += [f"{code}: {status.last_error}" for code, status in counters.items() if status.last_error]
    return {
        "status": "attention" if problems else "ok",
        "problems": problems,
        "counters": {
            code: {"capturing": status.capturing, "sessions": dict(status.sessions)}
            for code, status in counters.items()
        },
        "models": [version.model_dump(mode="json") for version in edge.perception.versions()],
        "outbox": {"waiting": edge.outbox.depth(), "oldest_s": round(edge.outbox.oldest_age_s(), 1)},
        "uplink": None
        if uplink is None
        else {
            "delivered": uplink.delivered,
            "quarantined": uplink.quarantined,
            "failures_in_a_row": uplink.failures,
            "last_error": uplink.last_error,
        },
    }


class _EdgeCollector(Collector):
    """Reads the edge's own counts at each scrape; nothing is counted twice."""

    def __init__(self, edge: EdgeParts) -> None:
        self._edge = edge

    def collect(self) -> Iterator[Metric]:
        edge = self._edge
        yield GaugeMetricFamily(
            "hailong_outbox_waiting", "Signals that the centre has not confirmed.", edge.outbox.depth()
        )
        yield GaugeMetricFamily(
            "hailong_outbox_oldest_seconds", "Age of the oldest of them.", edge.outbox.oldest_age_s()
        )
        if edge.uplink is not None:
            state = edge.uplink.state
            yield CounterMetricFamily(
                "hailong_delivered", "Signals confirmed by the centre.", state.delivered
            )
            yield CounterMetricFamily(
                "hailong_quarantined", "Signals the centre set aside.", state.quarantined
            )
            yield GaugeMetricFamily(
                "hailong_uplink_failures", "Attempts that failed in a row.", state.failures
            )
        sessions = CounterMetricFamily(
            "hailong_sessions", "Sessions by state of their consent at the end.", labels=["counter", "state"]
        )
        capturing = GaugeMetricFamily(
            "hailong_capturing", "Whether a device is open under a consent.", labels=["counter"]
        )
        for code, counter in edge.counters.items():
            status = counter.status()
            capturing.add_metric([code], float(status.capturing))
            for state_name, count in status.sessions.items():
                sessions.add_metric([code, state_name], count)
        yield sessions
        yield capturing
