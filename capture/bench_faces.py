"""What faces cost: CPU milliseconds a call of every part, a counter's share of a core, memory.

Everything is taken in one run on one thread over frames of one recording, and given as a ratio
to one reference: the detector that is always there (CenterFace) on a whole picture. Medians of
calls that follow each other in turn, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import os
import time
from itertools import chain, cycle
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import cv2

from capture.consent_script import ConsentScript
from capture.cost import CpuMeter
from capture.networks import load_networks
from capture.recording import RecordingSource
from capture.replay import replay, replay_counter
from capture.source import EmptyDevice, SourceHealth
from consent.purpose import Purpose
from inference.anonymizer import Anonymizer, AnonymizerConfig
from inference.face_evidence import FaceConfig
from inference.face_quality import GateConfig, crop_face, reject
from inference.face_search import load_face_searches
from inference.media import Frame
from inference.tracking import FaceTracker
from inference.zones import SeatZone
from models.card import Task
from models.expression import load_expression_model
from models.face_detectors import load_face_detector
from models.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from capture.config import EdgeConfig
    from capture.source import MediaDevice, MediaUnit
    from consent.gate import Permitted
    from inference.perception import Perception

REFERENCE: Final = "detector centerface@1.5.0, whole picture"
_WHOLE_PX: Final = 640
_CLIP: Final = 96
"""Frames of the recording that are kept in memory and shown forth and back."""
_RATE_HZ: Final = 12
_WARM_FRAMES: Final = 1_000
"""Frames before memory counts: buffers and arenas are full by then."""
_MASK: Final = ((0.0, 0.0), (0.15, 0.0), (0.15, 0.3), (0.0, 0.3))
_GIVEN: Final = ConsentScript(decision="given", purposes=frozenset({Purpose.IMAGE}), decides_after_s=0)


def measure_faces(
    media: Path,
    software: str,
    *,
    frames: int = 10_000,
    rounds: int = 30,
    settings: EdgeConfig | None = None,
) -> dict[str, Any]:
    """Measure every part of reading a face, and a long session of faces.

    Args:
        media: A recording with one face at the seat.
        software: Version that the signal of the session states.
        frames: Length of the long session, frames.
        rounds: Calls of each part.
        settings: An edge's configuration, whose networks read the long session.

    Raises:
        ModelError: A network is missing or wrong.
        ValueError: No face was found to measure with.
    """
    registry = Registry.default()
    clip = _clip(media)
    took = _timed(_parts(registry, clip), rounds)
    reference = took[REFERENCE]
    return {
        "media": media.name,
        "frame": f"{clip[0].shape[1]}x{clip[0].shape[0]}",
        "reference": REFERENCE,
        "cpu_ms": {part: round(1000 * seconds, 3) for part, seconds in took.items()},
        "ratio": {part: round(seconds / reference, 4) for part, seconds in took.items()},
        "session": _session(load_networks(registry, settings), clip, software, frames, reference),
    }


def _clip(media: Path) -> list[NDArray[np.uint8]]:
    """Decode the frames that everything is measured on."""
    device = RecordingSource(media).open(frozenset({Purpose.IMAGE}))
    kept: list[NDArray[np.uint8]] = []
    try:
        while len(kept) < _CLIP and (unit := device.read()) is not None:
            if isinstance(unit, Frame):
                kept.append(unit.pixels)
    finally:
        device.close()
    if not kept:
        raise ValueError(f"{media} holds no picture to measure faces with.")
    return kept


def _parts(registry: Registry, clip: Sequence[NDArray[np.uint8]]) -> Mapping[str, Callable[[int], object]]:
    """Return every part by its name, as a call that takes the number of its round."""
    height, width = clip[0].shape[:2]
    zone, config = SeatZone(), FaceConfig()
    masked = SeatZone(privacy_masks=(_MASK,))
    region = zone.region(width, height)
    scale = min(1.0, config.detect_px / max(region.x2 - region.x1, region.y2 - region.y1))
    seats = [_scaled(_cut(frame, region), scale) for frame in clip]
    whole = load_face_detector(registry, "centerface", longest_px=_WHOLE_PX)
    found = [
        (frame, max(boxes, key=lambda box: box.height)) for frame in clip if (boxes := whole.detect(frame))
    ]
    crops = [crop for frame, box in found if (crop := crop_face(frame, box)) is not None]
    if not crops:
        raise ValueError("No face was found in the recording: give one with somebody at the seat.")
    tracker = FaceTracker(config.tracking)
    parts: dict[str, Callable[[int], object]] = {
        "privacy mask": lambda turn: masked.burn(clip[turn % len(clip)]),
        "tracker": lambda turn: tracker.update([found[turn % len(found)][1]], turn * 250_000_000),
        "gates": lambda turn: reject(crops[turn % len(crops)], found[turn % len(crops)][1], GateConfig()),
    }
    for card in registry.cards(Task.FACE_DETECTION):
        if registry.find(card) is not None:
            parts |= _detector(registry, card.key, seats, clip)
    readers = {
        "expression, one network": load_expression_model(
            registry, calibrated=False, mirrored=False, second=False
        ),
        "expression, mirrored": load_expression_model(registry, calibrated=False, second=False),
        "expression, two networks, mirrored, calibrated": load_expression_model(registry),
    }
    for name, reader in readers.items():
        parts[name] = lambda turn, reader=reader: reader.predict([crops[turn % len(crops)].pixels])  # type: ignore[misc]  # the default binds the loop's value
    return parts | _masked(registry, clip)


def _masked(registry: Registry, clip: Sequence[NDArray[np.uint8]]) -> dict[str, Callable[[int], object]]:
    """Mask the clip as a preview does: most pictures get one look, some the closer one too."""
    looks = load_face_searches(registry, slow=False)
    rarely = AnonymizerConfig()
    always = AnonymizerConfig(closer_hz=_RATE_HZ)
    live, closer = Anonymizer.of(looks, rarely), Anonymizer.of(looks, always)

    def shown(masks: Anonymizer) -> Callable[[int], object]:
        return lambda turn: masks.anonymize(clip[turn % len(clip)], turn * 1_000_000_000 // _RATE_HZ)

    return {"masked picture": shown(live), "masked picture with the closer look": shown(closer)}


def _detector(
    registry: Registry, key: str, seats: Sequence[NDArray[np.uint8]], clip: Sequence[NDArray[np.uint8]]
) -> dict[str, Callable[[int], object]]:
    near = load_face_detector(registry, key)
    far = load_face_detector(registry, key, longest_px=_WHOLE_PX)
    return {
        f"detector {key}, seat": lambda turn: near.detect(seats[turn % len(seats)]),
        f"detector {key}, whole picture": lambda turn: far.detect(clip[turn % len(clip)]),
    }


def _cut(frame: NDArray[np.uint8], region: Any) -> NDArray[np.uint8]:  # noqa: ANN401 - four whole pixels
    return frame[region.y1 : region.y2, region.x1 : region.x2]


def _scaled(part: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    shrunk = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return shrunk.astype(part.dtype)


def _timed(parts: Mapping[str, Callable[[int], object]], rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of a call; the parts take turns."""
    took: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(rounds + 2):
        for name, call in parts.items():
            began = time.thread_time()
            call(turn)
            if turn > 1:  # the first two fill caches
                took[name].append(time.thread_time() - began)
    return {name: median(seconds) for name, seconds in took.items()}


class _Looped:
    """A source that shows a clip forth and back: a long session without a long recording."""

    def __init__(self, clip: Sequence[NDArray[np.uint8]], frames: int) -> None:
        self._clip = clip
        self._frames = frames
        self.address = "loop:clip"
        self.offers = frozenset({Purpose.IMAGE})

    def describe(self) -> str:
        return "a clip, forth and back"

    def health(self) -> SourceHealth:
        return SourceHealth()

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        return _LoopedDevice(self._units()) if Purpose.IMAGE in purposes else EmptyDevice()

    def _units(self) -> Iterator[Frame]:
        start_ns = time.time_ns()
        there = range(len(self._clip))
        order = cycle(chain(there, reversed(there)))
        for index in range(self._frames):
            at_ns = start_ns + index * 1_000_000_000 // _RATE_HZ
            yield Frame(self._clip[next(order)], at_ns, index)


class _LoopedDevice(EmptyDevice):
    def __init__(self, units: Iterator[Frame]) -> None:
        self._units = units

    def read(self) -> MediaUnit | None:
        return next(self._units, None)


def _session(
    loaded: Perception, clip: Sequence[NDArray[np.uint8]], software: str, frames: int, reference_s: float
) -> dict[str, Any]:
    """Read a long session through the gate; what it costs of a core, and how memory grows."""
    meter, count, memory = CpuMeter(), 0, {}

    def counted(_: str, unit: Permitted[MediaUnit]) -> None:
        nonlocal count
        del unit
        count += 1
        if count in {_WARM_FRAMES, frames}:
            memory[count] = _resident_kib()

    try:
        began_cpu, began = time.process_time(), time.monotonic()
        done = replay(
            Path("clip"),
            _GIVEN,
            meter.perception(loaded),
            counter=replay_counter(),
            software=software,
            on_unit=counted,
            source=_Looped(clip, frames),
        )
        cpu_s, wall_s = time.process_time() - began_cpu, time.monotonic() - began
    finally:
        loaded.close()
    if done.signal is None:
        raise ValueError(f"The long session gave no signal: {done.error or done.consent}.")
    length_s = frames / _RATE_HZ
    return {
        "frames": frames,
        "frames_a_second": _RATE_HZ,
        "media_s": round(length_s, 1),
        "face_s": round(done.signal.quality.face_s, 1),
        "calls": dict(sorted(meter.calls.items())),
        "cpu_share": {part: round(seconds / cpu_s, 3) for part, seconds in sorted(meter.seconds.items())},
        "cpu_ms_a_frame": round(1000 * cpu_s / frames, 3),
        "ratio_a_frame": round(cpu_s / frames / reference_s, 4),
        "cpu_s_a_second_of_media": round(cpu_s / length_s, 4),
        "real_time_factor": round(wall_s / length_s, 4),
        "memory_kib_at_1000": memory.get(_WARM_FRAMES),
        "memory_kib_at_end": memory.get(frames),
        "memory_growth_kib": memory[frames] - memory[_WARM_FRAMES] if len(memory) > 1 else None,
    }


def _resident_kib() -> int:
    """Return what this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024
