"""From an address in the settings to a source, and two sources as one."""

from __future__ import annotations

import threading

from capture.address import SourceKind, parse_address
from capture.camera import RtspCamera, UsbCamera
from capture.live import LivePolicy, LiveSource
from capture.microphone import Microphone
from capture.newest import BoundedQueue, DropPolicy
from capture.reconnect import ReconnectingSource, ReconnectPolicy
from capture.recording import RecordingSource
from capture.source import (
    EmptyDevice,
    MediaDevice,
    MediaSource,
    MediaUnit,
    SourceHealth,
    SourceState,
)
from capture.synthetic import synthetic_camera
from consent.purpose import Purpose


def open_source(
    address: str,
    *,
    policy: LivePolicy | None = None,
    reconnect: ReconnectPolicy | None = None,
    paced: bool = False,
    started_ns: int | None = None,
    missing_track_ok: bool = False,
) -> MediaSource:
    """Make the source of an address; nothing is opened yet.

    Args:
        address: `rtsp://…`, `v4l2:/dev/video0`, `alsa:hw:0`, `file:PATH`, a path, or `lavfi:GRAPH`.
        policy: Limits of live sources.
        reconnect: How a live source is opened again after a loss; None leaves losses to the caller.
        paced: Whether a recording is given in real time.
        started_ns: Wall clock of a recording's beginning.
        missing_track_ok: Whether a camera or recording may lack a permitted kind.

    Raises:
        SourceAddressError: The address cannot be understood.
    """
    parsed = parse_address(address)
    live: LiveSource
    match parsed.kind:
        case SourceKind.FILE:
            return RecordingSource(
                parsed.target, started_ns=started_ns, paced=paced, missing_track_ok=missing_track_ok
            )
        case SourceKind.RTSP:
            live = RtspCamera(parsed, policy, missing_track_ok=missing_track_ok)
        case SourceKind.V4L2:
            live = UsbCamera(parsed, policy)
        case SourceKind.ALSA:
            live = Microphone(parsed, policy)
        case SourceKind.LAVFI:
            live = synthetic_camera(parsed.target, policy)
    return live if reconnect is None else ReconnectingSource(live, reconnect)


class PairedSource:
    """A camera and a microphone with addresses of their own, as one source.

    Args:
        camera: Gives the picture; its own sound is not opened.
        microphone: Gives the sound; its own picture is not opened.
    """

    def __init__(self, camera: MediaSource, microphone: MediaSource) -> None:
        """Pair the two; nothing is opened."""
        self._camera = camera
        self._microphone = microphone

    @property
    def address(self) -> str:
        """Both public addresses."""
        return f"{self._camera.address} + {self._microphone.address}"

    @property
    def offers(self) -> frozenset[Purpose]:
        """The purposes the two serve together."""
        return (self._camera.offers & {Purpose.IMAGE}) | (self._microphone.offers & {Purpose.VOICE})

    def describe(self) -> str:
        """Say what the two are."""
        return f"{self._camera.describe()} + {self._microphone.describe()}"

    def health(self) -> SourceHealth:
        """Add up how the two do; the state is the worse one."""
        camera, microphone = self._camera.health(), self._microphone.health()
        worse = max(camera.state, microphone.state, key=_SEVERITY.index)
        return SourceHealth(
            state=worse,
            frames=camera.frames,
            frames_skipped=camera.frames_skipped,
            chunks=microphone.chunks,
            chunks_dropped=microphone.chunks_dropped,
            dropped_s=microphone.dropped_s,
            damaged=camera.damaged + microphone.damaged,
            reconnects=camera.reconnects + microphone.reconnects,
            gap_s=camera.gap_s + microphone.gap_s,
            last_error=camera.last_error or microphone.last_error,
        )

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Open the permitted ones; the other stays closed.

        Raises:
            CaptureError: One of them cannot be opened; the other is closed again.
        """
        parts: list[MediaDevice] = []
        try:
            if Purpose.IMAGE in purposes:
                parts.append(self._camera.open(frozenset({Purpose.IMAGE})))
            if Purpose.VOICE in purposes:
                parts.append(self._microphone.open(frozenset({Purpose.VOICE})))
        except BaseException:
            for part in parts:
                part.close()
            raise
        match parts:
            case []:
                return EmptyDevice()
            case [only]:
                return only
        return MergedDevice(parts)


_SEVERITY = (
    SourceState.CLOSED,
    SourceState.RUNNING,
    SourceState.OPENING,
    SourceState.WAITING,
    SourceState.FAILED,
)


class MergedDevice:
    """Several devices read as one: the unit captured first comes first.

    Each device has a thread that reads it one unit ahead. The end comes when all ended;
    an error of one is raised when it is its turn.

    Args:
        devices: Opened devices; they are closed with this one.
    """

    def __init__(self, devices: list[MediaDevice]) -> None:
        """Start reading the devices."""
        self._devices = devices
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._waiting = [BoundedQueue[MediaUnit](1, DropPolicy.WAIT, self._changed) for _ in devices]
        self._running = len(devices)
        self._error: Exception | None = None
        self._threads = [
            threading.Thread(target=self._pump, args=pair, name="capture merge", daemon=True)
            for pair in zip(devices, self._waiting, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def _pump(self, device: MediaDevice, waiting: BoundedQueue[MediaUnit]) -> None:
        try:
            while not self._stop.is_set() and (unit := device.read()) is not None:
                waiting.put(unit)
        except Exception as error:  # noqa: BLE001 - a thread's errors are raised where its units are read
            with self._changed:
                self._error = self._error or error
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def read(self) -> MediaUnit | None:
        """Give the unit captured first among those waiting.

        Raises:
            CaptureError: One of the devices failed.
        """
        with self._changed:
            while not self._stop.is_set():
                first = min(
                    (place for place in self._waiting if place.peek() is not None),
                    key=lambda place: unit.captured_ns if (unit := place.peek()) is not None else 0,
                    default=None,
                )
                if first is not None:
                    return first.take()
                if self._error is not None:
                    raise self._error
                if self._running == 0:
                    return None
                self._changed.wait()
            return None

    def interrupt(self) -> None:
        """Interrupt all devices and discard what waits."""
        self._stop.set()
        for device in self._devices:
            device.interrupt()
        for place in self._waiting:
            place.close()

    def close(self) -> None:
        """Close all devices."""
        self.interrupt()
        for device in self._devices:
            device.close()
        for thread in self._threads:
            thread.join()
