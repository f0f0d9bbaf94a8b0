"""Synthetic sources: FFmpeg filter graphs in the place of a camera and a microphone."""

from __future__ import annotations

from capture.container import Opening
from capture.errors import BrokenMedia, SourceAddressError, SourceUnavailable
from capture.live import LivePolicy, LiveSource
from capture.recording import PulledDevice
from capture.source import SENSED, EmptyDevice, MediaDevice, SourceHealth, Tally
from consent.purpose import Purpose


def synthetic_camera(graph: str, policy: LivePolicy | None = None) -> LiveSource:
    """Make a live source of a filter graph: real time, newest picture first.

    Args:
        graph: As for FFmpeg's lavfi, e.g. `testsrc2=rate=15[out0];sine=440[out1]`.
        policy: Limits; it is paced in any case.
    """
    limits = policy or LivePolicy()
    paced = LivePolicy(
        silence_limit_s=limits.silence_limit_s,
        first_unit_limit_s=limits.first_unit_limit_s,
        audio_queue_chunks=limits.audio_queue_chunks,
        paced=True,
    )

    def opening(_: frozenset[Purpose]) -> Opening:
        return _opening(graph, missing_track_ok=True)

    return LiveSource(f"lavfi:{graph}", "synthetic camera", SENSED, opening=opening, policy=paced)


class SyntheticSource:
    """A filter graph read as fast as the reader takes it, for tests and measurements.

    Args:
        graph: As for FFmpeg's lavfi.
        started_ns: Wall clock of its beginning; the time of opening if not given.
    """

    def __init__(self, graph: str, *, started_ns: int | None = None) -> None:
        """Describe the source; nothing is built."""
        self._graph = graph
        self._started_ns = started_ns
        self._tally = Tally()

    @property
    def address(self) -> str:
        """The graph."""
        return f"lavfi:{self._graph}"

    @property
    def offers(self) -> frozenset[Purpose]:
        """Whatever the graph gives."""
        return SENSED

    def describe(self) -> str:
        """Say what it is."""
        return f"synthetic source {self._graph}"

    def health(self) -> SourceHealth:
        """Tell how it does."""
        return self._tally.health()

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Build the graph for the permitted kinds.

        Raises:
            SourceAddressError: The graph is not valid.
        """
        permitted = purposes & SENSED
        if not permitted:
            return EmptyDevice()
        try:
            return PulledDevice(
                _opening(self._graph, missing_track_ok=True),
                permitted,
                tally=self._tally,
                started_ns=self._started_ns,
                paced=False,
            )
        except (SourceUnavailable, BrokenMedia) as error:
            raise SourceAddressError(
                f"The filter graph {self._graph!r} is not valid; see FFmpeg's filter documentation. ({error})"
            ) from None


def _opening(graph: str, *, missing_track_ok: bool) -> Opening:
    return Opening(f"lavfi:{graph}", graph, "lavfi", {}, None, missing_track_ok)
