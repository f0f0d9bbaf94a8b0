"""Health and metrics of the edge, for the people who run it; served on loopback only.

Anybody at this machine can ask its ports, the officer as well. Whoever shows no token therefore learns
nothing that depends on what a citizen chose: no count, no counter, no trouble of a device, of an upload,
of an erasure or of a withdrawal, and nothing whose time of coming depends on one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from capture.door import LocalSecret
from capture.local_pages import OnlyOurPages
from inference.camera_view import CameraTrouble

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
    from inference.camera_view import CameraState
    from inference.perception import Perception

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
TOKEN_FILE: Final = "metrics-token"  # noqa: S105 - the name of a file


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


class MetricsToken(LocalSecret):
    """The token of whoever may read details and metrics."""

    file = TOKEN_FILE
    command = "hailong edge metrics-token"


def build_monitor(edge: EdgeParts, token: MetricsToken) -> Starlette:
    """Build `/healthz` (what runs and what is wrong, as JSON) and `/metrics` (Prometheus).

    Args:
        edge: What is watched.
        token: Opens the details and the metrics.
    """
    registry = CollectorRegistry()
    registry.register(_EdgeCollector(edge))
    stopped = _forked(edge)  # a log that parts later is noticed sooner while a citizen is captured

    def healthz(request: Request) -> Response:
        if "authorization" not in request.headers:
            found = public_health(edge, stopped=stopped and _forked(edge))
        elif _shows(token, request):
            found = health(edge)
        else:
            return _token_needed()
        return JSONResponse(found, 200 if found["status"] == "ok" else 503)

    def metrics(request: Request) -> Response:
        if not _shows(token, request):
            return _token_needed()
        return Response(generate_latest(registry), media_type=_TEXT)

    app = Starlette(routes=[Route("/healthz", healthz), Route("/metrics", metrics)])
    app.add_middleware(OnlyOurPages)  # a name of elsewhere that was bound to this machine reads nothing
    return app


def _forked(edge: EdgeParts) -> bool:
    return edge.log_uplink is not None and edge.log_uplink.state.forked


def _shows(token: MetricsToken, request: Request) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and token.opens(given.strip())


def _token_needed() -> Response:
    return PlainTextResponse(
        "This needs the token that 'hailong edge metrics-token' prints, as 'Authorization: Bearer TOKEN'.\n",
        401,
        headers={"WWW-Authenticate": 'Bearer realm="hailong edge"'},
    )


def public_health(edge: EdgeParts, *, stopped: bool) -> dict[str, Any]:
    """Return what anybody may know: whether this edge runs, and troubles that hang on nobody's choice.

    Those are the playlists, which serve no citizen, and an edge that is not allowed to capture anybody.

    Args:
        edge: What is watched.
        stopped: Whether the centre has had another consent log of this edge since this program started.
    """
    problems = [
        f"{code}: an item of the playlist failed" for code, item in edge.playlists.items() if item.error
    ]
    if stopped:
        problems.append("ALARM: consent log forked")
    return {"status": "attention" if problems else "ok", "problems": problems}


def health(edge: EdgeParts) -> dict[str, Any]:
    """Return what really runs and every reason to look after this edge; for whoever has the token."""
    uplink = edge.uplink.state if edge.uplink is not None else None
    problems = [f"{code}: {playlist.error}" for code, playlist in edge.playlists.items() if playlist.error]
    if uplink is not None and uplink.last_error is not None:
        problems.append(f"uplink: {uplink.last_error}")
    if uplink is not None and (clock := uplink.clock_problem()) is not None:
        problems.append(f"clock: {clock}")
    problems += _consent_problems(edge)
    counters = {code: counter.status() for code, counter in edge.counters.items()}
    problems += [f"{code}: {status.last_error}" for code, status in counters.items() if status.last_error]
    problems += [
        f"{code}: camera: {status.camera.trouble.reason}"
        for code, status in counters.items()
        if status.camera.trouble is not None
    ]
    return {
        "status": "attention" if problems else "ok",
        "problems": problems,
        "counters": {
            code: {
                "capturing": status.capturing,
                "sessions": dict(status.sessions),
                "camera": _camera_health(status.camera),
            }
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


def _camera_health(state: CameraState) -> dict[str, Any]:
    since = None if state.since_ns is None else datetime.fromtimestamp(state.since_ns / 1e9, UTC)
    return {"state": state.name, "since": None if since is None else since.isoformat(timespec="seconds")}


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
        camera = GaugeMetricFamily(
            "hailong_camera_trouble",
            "1 for what is wrong with a camera's view.",
            labels=["counter", "trouble"],
        )
        for code, counter in edge.counters.items():
            status = counter.status()
            for trouble in CameraTrouble:
                camera.add_metric([code, trouble.value], float(status.camera.trouble is trouble))
            capturing.add_metric([code], float(status.capturing))
            for state_name, count in status.sessions.items():
                sessions.add_metric([code, state_name], count)
        yield sessions
        yield capturing
        yield camera
