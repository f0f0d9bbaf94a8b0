"""Look at one processed recording: pictures, a timeline, every figure: what `hailong edge inspect` does.

The recording is read behind the gate as at a counter, under the consent file beside it. Files
are written only once the session was concluded: one that was withdrawn or stopped leaves its
state and no picture, no reading and no time line.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from capture.config import CounterConfig
from capture.consent_script import ConsentScript, load_consent_script
from capture.cost import CpuMeter
from capture.counter import seat_zone
from capture.errors import CaptureError
from capture.networks import load_networks
from capture.replay import Replayed, replay
from consent.state import State
from inference.anonymizer import Anonymizer
from inference.errors import ZoneError
from inference.face_search import load_face_searches
from inference.inspection import InspectedSession
from inference.inspection_words import LANGUAGES
from inference.perception import Perception
from inference.session_page import page
from inference.session_pictures import annotated, clock, picture_told
from inference.session_timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capture.config import EdgeConfig
    from capture.source import MediaUnit
    from consent.gate import Permitted
    from consent.purpose import Purpose
    from inference.camera_view import CameraView
    from inference.inspection import SessionRecord
    from inference.quotes import QuoteSealing
    from inference.session import SessionAnalysis
    from inference.voice_evidence import VoiceConfig
    from inference.zones import SeatZone
    from models.registry import Registry

_NS: Final = 1_000_000_000
_MASKS: Final = "masks on pictures"
_CLOSER_MASKS: Final = "masks on pictures, closer look"
_SESSION: Final = "session.json"
_EVERY: Final = ("index.html", "timeline.svg", "timeline.csv", _SESSION)


class InspectionRefusedError(CaptureError):
    """The recording or the folder cannot be used for an inspection."""


@dataclass(frozen=True, slots=True)
class InspectionRequest:
    """What is looked at and how it is shown.

    Attributes:
        media: The recording; its consent file lies beside it.
        out: Folder to write; empty or absent.
        counter: Seat, masks and channels.
        language: `vi` or `en`, on the pictures.
        clear: Show faces; only where the consent file says that the recording is synthetic.
        settings: An edge's configuration, whose networks are taken; None for those taken by themselves.
    """

    media: Path
    out: Path
    counter: CounterConfig
    language: str = "vi"
    clear: bool = False
    settings: EdgeConfig | None = None


@dataclass(frozen=True, slots=True)
class _Watched(Perception):
    """The networks, whose sessions are watched."""

    watch: Callable[[SessionAnalysis], InspectedSession]

    def open_session(
        self,
        purposes: frozenset[Purpose],
        *,
        zone: SeatZone,
        voice: VoiceConfig | None = None,
        view: CameraView | None = None,
        quotes: QuoteSealing | None = None,
    ) -> SessionAnalysis:
        return self.watch(
            Perception.open_session(self, purposes, zone=zone, voice=voice, view=view, quotes=quotes)
        )


def counter_of(corners: str | None, channel: str) -> CounterConfig:
    """Return the counter that a recording stands for.

    Args:
        corners: The seat as `x,y x,y x,y`, shares of the frame; None for the default one.
        channel: Channel of the citizen's microphone: left, right or only.

    Raises:
        InspectionRefusedError: One of them cannot be used.
    """
    settings: dict[str, object] = {"code": "inspect", "camera": "file:-", "citizen_channel": channel}
    if corners is not None:
        settings["seat_zone"] = [corner.split(",") for corner in corners.split()]
    try:
        counter = CounterConfig.model_validate(settings)
        seat_zone(counter)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InspectionRefusedError(
            f"--seat-zone or --channel cannot be used: {faults}. Give corners as '0.2,0 0.8,0 0.8,1 0.2,1'."
        ) from error
    except ZoneError as error:
        raise InspectionRefusedError(f"--seat-zone cannot be used: {error}") from error
    return counter


def inspect(
    request: InspectionRequest,
    registry: Registry,
    *,
    software: str,
    on_unit: Callable[[str, Permitted[MediaUnit]], None] | None = None,
) -> dict[str, Any]:
    """Read a recording, write what can be looked at, and return the figures.

    Args:
        request: What is looked at.
        registry: Where the networks are found.
        software: Version that the signal states.
        on_unit: Told of each unit that was read.

    Raises:
        InspectionRefusedError: Faces were asked for of a recording that is not said to be synthetic, or
            the folder holds something.
        ConsentScriptError: There is no usable consent file beside the recording.
        ModelError: A network is missing or wrong.
    """
    script = _allowed(request)
    meter = CpuMeter()
    loaded = load_networks(registry, request.settings)
    sessions: list[InspectedSession] = []
    zone = seat_zone(request.counter)

    def watch(analysis: SessionAnalysis) -> InspectedSession:
        masks = None
        if not request.clear:
            looks = load_face_searches(registry, slow=False)
            looks = replace(
                looks,
                always=meter.network(looks.always, _MASKS, "detect"),
                closer=meter.network(looks.closer, _CLOSER_MASKS, "detect"),
            )
            masks = Anonymizer.of(looks, zone=zone)
        sessions.append(InspectedSession(analysis, zone=zone, anonymizer=masks))
        return sessions[-1]

    metered = meter.perception(loaded)
    networks = {network.name: getattr(metered, network.name) for network in fields(Perception)}
    try:
        began_cpu, began = time.process_time(), time.monotonic()
        replayed = replay(
            request.media,
            script,
            _Watched(**networks, watch=watch),
            counter=request.counter,
            software=software,
            on_unit=on_unit,
        )
        wall_s, cpu_s = time.monotonic() - began, time.process_time() - began_cpu
    finally:
        loaded.close()
    figures = {
        **replayed.to_json(),
        "synthetic": script.synthetic,
        "faces": "shown" if request.clear else "masked",
    }
    record = sessions[0].record if sessions else None
    if record is not None and record.started_ns is not None:
        length_s = (record.ended_ns - record.started_ns) / _NS
        figures |= {
            "length_s": round(length_s, 2),
            "cost": _cost(meter, cpu_s + meter.processes_s, wall_s, length_s),
        }
    if record is not None and replayed.consent in {State.COMPLETED, State.EXPIRED}:
        figures |= _evidence(record)
        figures["files"] = _write(request, record, script, zone, replayed)
    request.out.mkdir(parents=True, exist_ok=True, mode=0o700)
    (request.out / _SESSION).write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return figures


def _allowed(request: InspectionRequest) -> ConsentScript:
    script = load_consent_script(request.media)
    if request.clear and script.synthetic is None:
        raise InspectionRefusedError(
            f"--clear-test-media shows faces, and the consent file of {request.media} does not say that they "
            "are made. If nobody in it is real, add 'synthetic = \"what it is\"' there; else leave it out."
        )
    if request.language not in LANGUAGES:
        raise InspectionRefusedError(f"--language is {' or '.join(LANGUAGES)}, not '{request.language}'.")
    if request.out.exists() and (not request.out.is_dir() or any(request.out.iterdir())):
        raise InspectionRefusedError(f"{request.out} is not an empty folder. Name another one, or empty it.")
    return script


def _evidence(record: SessionRecord) -> dict[str, Any]:
    """Return the evidence of a concluded session as JSON."""
    face, voice, start_ns = record.face, record.voice, record.started_ns or 0
    found: dict[str, Any] = {"detections_left_out": record.left_out}
    if face is not None:
        found["face"] = {
            "frames": face.frames,
            "detections": face.detections,
            "face_s": round(face.face_s, 2),
            "readings": len(face.moments),
            "uncertain": face.uncertain,
            "discarded": face.discarded,
            "expression_calls": face.expression_calls,
            "faces_in_zone_max": face.faces_in_zone_max,
            "second_face_s": round(face.second_face_s, 2),
            "rejections": {reason.value: count for reason, count in face.rejections.items()},
            "tracks": [
                {
                    "track": number,
                    "first_s": round((life.first_ns - start_ns) / _NS, 2),
                    "last_s": round((life.last_ns - start_ns) / _NS, 2),
                    "detections": life.detections,
                    "at_seat": life.seated,
                    "citizen": life.citizen,
                    "expression_calls": face.calls_by_track.get(number, 0),
                }
                for number, life in sorted(record.tracks.items())
            ],
        }
    if voice is not None:
        found["voice"] = {
            "utterances": len(voice.utterances),
            "speech_s": round(voice.speech_s, 2),
            "dropped_s": round(voice.dropped_s, 2),
            "refused": voice.refused,
            "heard_s": round(voice.heard_s, 2),
        }
    return found


def _cost(meter: CpuMeter, total_s: float, wall_s: float, length_s: float) -> dict[str, Any]:
    """Return CPU seconds by part; shares of all of it, so that runs of one machine compare."""
    parts = {**meter.seconds, "the rest": max(0.0, total_s - sum(meter.seconds.values()))}
    return {
        "cpu_s": {part: round(seconds, 3) for part, seconds in sorted(parts.items())},
        "cpu_share": {part: round(seconds / total_s, 3) for part, seconds in sorted(parts.items())},
        "calls": dict(sorted(meter.calls.items())),
        "cpu_s_a_second_of_media": round(total_s / length_s, 3) if length_s else None,
        "real_time_factor": round(wall_s / length_s, 3) if length_s else None,
    }


def _write(
    request: InspectionRequest,
    record: SessionRecord,
    script: ConsentScript,
    zone: SeatZone,
    replayed: Replayed,
) -> list[str]:
    """Write everything but the figures; returns the names of all files."""
    words, label, start_ns = LANGUAGES[request.language], script.synthetic, record.started_ns or 0
    timeline = Timeline(record, words, label)
    folder = request.out / "pictures"
    request.out.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir()
    shown = []
    for number, picture in enumerate(record.pictures, start=1):
        at = clock(picture.glance.captured_ns - start_ns).replace(":", "m")
        name = f"pictures/{number:03}-{at}s-{picture.occasion}.svg"
        drawn = annotated(picture, started_ns=start_ns, zone=zone, words=words, label=label)
        (request.out / name).write_text(drawn, "utf-8")
        shown.append((name, picture_told(picture, start_ns, words)))
    (request.out / "timeline.svg").write_text(timeline.picture(), "utf-8")
    (request.out / "timeline.csv").write_text(timeline.table(), "utf-8")
    whole = page(
        language=request.language,
        words=words,
        title=replayed.media.name,
        label=label,
        told=timeline.told(),
        tracks=_evidence(record).get("face", {}).get("tracks", ()),
        pictures=shown,
    )
    (request.out / "index.html").write_text(whole, "utf-8")
    return [*_EVERY, *(name for name, _ in shown)]
