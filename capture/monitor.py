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

from capture.local_pages import OnlyOurPages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric
    from starlette.requests import Request

    from capture.counter import Counter
    from capture.erasure import EdgeErasure
    from capture.log_uplink import LogUplink
    from capture.outbox import Outbox
    from capture.playlist import Playlist
    from capture.unwritten import UnwrittenSteps
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
        log_uplink: The consent log's way to the centre; None without one.
        erasure: What erases here.
        steps: Steps that the consent log could not take yet.
    """

    counters: Mapping[str, Counter]
    playlists: Mapping[str, Playlist]
    outbox: Outbox
    uplink: Uplink | None
    perception: Perception
    log_uplink: LogUplink | None = None
    erasure: EdgeErasure | None = None
    steps: UnwrittenSteps | None = None


def build_monitor(edge: EdgeParts) -> Starlette:
    """Build `/healthz` (what runs and what is wrong, as JSON) and `/metrics` (Prometheus)."""
    registry = CollectorRegistry()
    registry.register(_EdgeCollector(edge))

    def healthz(_: Request) -> Response:
        found = health(edge)
        return JSONResponse(found, 200 if found["status"] == "ok" else 503)

    def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=_TEXT)

    app = Starlette(routes=[Route("/healthz", healthz), Route("/metrics", metrics)])
    app.add_middleware(OnlyOurPages)  # a name of elsewhere that was bound to this machine reads nothing
    return app


def health(edge: EdgeParts) -> dict[str, Any]:
    """Return what really runs and every reason to look after this edge."""
    uplink = edge.uplink.state if edge.uplink is not None else None
    problems = [f"{code}: {playlist.error}" for code, playlist in edge.playlists.items() if playlist.error]
    if uplink is not None and uplink.last_error is not None:
        problems.append(f"uplink: {uplink.last_error}")
    if uplink is not None and (clock := uplink.clock_problem()) is not None:
        problems.append(f"clock: {clock}")
    problems += _consent_problems(edge)
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
        "log": None if edge.log_uplink is None else _log_health(edge.log_uplink),
        "uplink": None
        if uplink is None
        else {
            "delivered": uplink.delivered,
            "quarantined": uplink.quarantined,
            "failures_in_a_row": uplink.failures,
            "last_error": uplink.last_error,
        },
    }


def _consent_problems(edge: EdgeParts) -> list[str]:
    """Return what needs looking after around the consent log and its erasures."""
    problems = []
    log = edge.log_uplink.state if edge.log_uplink is not None else None
    if log is not None and log.last_error is not None:
        problems.append(f"{'ALARM: consent log forked' if log.forked else 'consent log'}: {log.last_error}")
    if edge.erasure is not None and (trouble := edge.erasure.trouble) is not None:
        problems.append(f"erasure: {trouble}")
    if edge.steps is not None and len(edge.steps):
        problems.append(f"consent log: {len(edge.steps)} steps wait to be written")
    return problems


def _log_health(uplink: LogUplink) -> dict[str, Any]:
    state = uplink.state
    return {
        "acknowledged": state.acknowledged,
        "entries": uplink.store.log.size,
        "withdrawals": state.withdrawals,
        "failures_in_a_row": state.failures,
        "forked": state.forked,
        "last_error": state.last_error,
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
        if edge.log_uplink is not None:
            log = edge.log_uplink.state
            yield GaugeMetricFamily(
                "hailong_log_waiting",
                "Entries of the consent log that the centre does not have.",
                edge.log_uplink.store.log.size - (log.acknowledged or 0),
            )
            yield GaugeMetricFamily(
                "hailong_log_forked", "1 when the centre keeps another log of this edge.", float(log.forked)
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
