"""What one session's reading looked like, kept for people to look at: numbers over time and masked pictures.

For recordings that are test media only: `hailong edge inspect`. The session itself is read
exactly as at a counter; this stands beside it and notes what the face reader saw. A picture
passes the anonymiser before it is kept, and everything is dropped when the consent ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import cv2

from inference.camera_view import CameraView
from inference.media import Frame
from inference.session import SessionAnalysis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from consent.gate import Permitted
    from inference.anonymizer import Anonymizer, Doubt
    from inference.camera_view import CameraTrouble
    from inference.face_moments import FaceEvidence, Glance
    from inference.face_quality import Rejection
    from inference.media import AudioChunk
    from inference.session import SessionFacts
    from inference.signal import Signal
    from inference.voice_evidence import VoiceEvidence
    from inference.zones import SeatZone
    from models.face_detectors import Box

_NS: Final = 1_000_000_000
_JPEG_QUALITY: Final = 82


class Sight(StrEnum):
    """What one detection came to."""

    NOBODY = "nobody"
    """No face at the seat."""
    READ = "read"
    REFUSED = "refused"
    """The citizen's face did not pass a gate."""
    SECOND_FACE = "second_face"
    """A second face at the seat: nobody is read."""
    HELD = "held"
    """A face at the seat that was not read: not taken for the citizen, or not due."""


class Occasion(StrEnum):
    """Why a picture was kept."""

    START = "start"
    CHANGE = "change"
    PASSING = "passing"
    """Some time had passed."""
    END = "end"


@dataclass(frozen=True, slots=True)
class InspectionConfig:
    """How much is kept.

    Attributes:
        picture_every_s: A picture is kept at least this often.
        change_every_s: Changes of state give no more pictures than one in this time.
        max_pictures: Pictures kept; later ones are left out, but for the end.
        max_sights: Detections kept, 2.7 hours at 4 a second; later ones are left out.
        max_tracks: Tracks in the table, the latest.
        max_blind: Stretches of camera trouble, the first ones.
        longest_px: Pictures are shrunk to this.
    """

    picture_every_s: float = 5.0
    change_every_s: float = 1.0
    max_pictures: int = 120
    max_sights: int = 40_000
    max_tracks: int = 256
    max_blind: int = 1_000
    longest_px: int = 960


@dataclass(frozen=True, slots=True)
class SightMoment:
    """One detection without its places.

    Attributes:
        at_ns: Capture time.
        sight: What it came to.
        rejection: Why the citizen's face was not read.
        valence: What was read, -1 to 1.
        confidence: Probability of the likeliest class.
        faces: Faces found.
        seated: Those at the seat.
    """

    at_ns: int
    sight: Sight
    rejection: Rejection | None
    valence: float | None
    confidence: float | None
    faces: int
    seated: int


@dataclass(frozen=True, slots=True)
class TrackLife:
    """One track through the session.

    Attributes:
        first_ns: Capture time of its first detection.
        last_ns: Capture time of its last one.
        detections: Times it was found.
        seated: Times at the seat.
        citizen: Times as the one face that may be read.
    """

    first_ns: int
    last_ns: int
    detections: int = 0
    seated: int = 0
    citizen: int = 0


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A picture with what was known when it was taken.

    Attributes:
        occasion: Why it was kept.
        glance: Faces and places.
        sight: What the detection came to.
        calls: Calls of the expression network by track until then.
        jpeg: The picture behind the anonymiser.
        doubt: Why all of it is covered; None when it is not.
        trouble: What was wrong with the camera's view; None when nothing was.
    """

    occasion: Occasion
    glance: Glance
    sight: Sight
    calls: Mapping[int, int]
    jpeg: bytes
    doubt: Doubt | None
    trouble: CameraTrouble | None


@dataclass(frozen=True, slots=True)
class Blind:
    """A stretch in which the camera did not see what it should.

    Attributes:
        from_ns: Capture time of its start.
        to_ns: Capture time of its end.
        trouble: What was wrong with the view; None where no picture came at all.
    """

    from_ns: int
    to_ns: int
    trouble: CameraTrouble | None


@dataclass(slots=True)
class SessionRecord:
    """What was kept of one session.

    Attributes:
        started_ns: Capture time of the first unit; None before it.
        ended_ns: Capture time of the latest unit.
        sights: Detections in order.
        tracks: Tracks by number.
        pictures: Pictures in order.
        blind: Stretches of camera trouble.
        left_out: Detections that came when there was no room for more.
        face: Evidence at the end.
        voice: The same of the voice.
    """

    started_ns: int | None = None
    ended_ns: int = 0
    sights: list[SightMoment] = field(default_factory=list)
    tracks: dict[int, TrackLife] = field(default_factory=dict)
    pictures: list[KeptPicture] = field(default_factory=list)
    blind: list[Blind] = field(default_factory=list)
    left_out: int = 0
    face: FaceEvidence | None = None
    voice: VoiceEvidence | None = None

    def clear(self) -> None:
        """Forget everything."""
        for kept in (self.sights, self.tracks, self.pictures, self.blind):
            kept.clear()
        self.face = self.voice = None


class InspectedSession(SessionAnalysis):
    """A session's analysis that notes what was seen.

    Args:
        analysis: The readers, as every session has them.
        zone: The seat; its privacy masks are burned into pictures too.
        anonymizer: Masks pictures. None shows faces: for synthetic recordings only, which the
            caller has to make sure of.
        config: How much is kept.
    """

    def __init__(
        self,
        analysis: SessionAnalysis,
        *,
        zone: SeatZone,
        anonymizer: Anonymizer | None,
        config: InspectionConfig | None = None,
    ) -> None:
        """Stand beside the readers; nothing is kept yet."""
        super().__init__(face=analysis.face, voice=analysis.voice, models=analysis.models)
        self.record = SessionRecord()
        self._zone = zone
        self._anonymizer = anonymizer
        self._config = config or InspectionConfig()
        self._seen_ns: int | None = None
        self._frame_ns: int | None = None
        self._state: tuple[object, ...] = ()
        self._view = CameraView(zone)
        self._latest: KeptPicture | None = None
        self._finished = False

    def take(self, unit: Permitted[Frame | AudioChunk]) -> None:
        """Read one permitted unit and note what was seen.

        Raises:
            NotPermitted: Its lease has ended meanwhile.
        """
        super().take(unit)
        media = unit.open()
        record = self.record
        record.started_ns = media.captured_ns if record.started_ns is None else record.started_ns
        record.ended_ns = max(record.ended_ns, media.captured_ns)
        if isinstance(media, Frame) and self.face is not None:
            glance = self.face.glance
            self._watch(media, () if glance is None else [track.box for track in glance.tracks])
            if glance is not None and glance.captured_ns == media.captured_ns:
                self._note(glance, media.pixels)

    def finish(self, facts: SessionFacts) -> Signal:
        """State the result as every session does, and keep its evidence."""
        if self.voice is not None:
            self.voice.finish()
        self.record.face = self.face.evidence() if self.face is not None else None
        self.record.voice = self.voice.evidence() if self.voice is not None else None
        if self._latest is not None and self._latest not in self.record.pictures:
            self._keep(self._latest, Occasion.END)
        self._finished = True  # what follows forgets the media; the record stays for who concludes
        return super().finish(facts)

    def purge(self) -> None:
        """Forget what was read; the record of a session that was broken off goes too."""
        super().purge()
        if not self._finished:
            self.record.clear()
            self._latest = None

    def _watch(self, frame: Frame, people: Sequence[Box]) -> None:
        """Note a second and more without a picture, and what is wrong with the view."""
        now, before = frame.captured_ns, self._frame_ns
        self._frame_ns, blind = now, self.record.blind
        if len(blind) >= self._config.max_blind:
            return
        if before is not None and now - before >= _NS:
            blind.append(Blind(before, now, None))
        state = self._view.look(frame.pixels, now, frame.segment, people)
        if state.trouble is None:
            return
        since_ns = now if state.since_ns is None else state.since_ns
        if blind and blind[-1].from_ns == since_ns and blind[-1].trouble is state.trouble:
            blind.pop()
        blind.append(Blind(since_ns, now, state.trouble))

    def _note(self, glance: Glance, pixels: NDArray[np.uint8]) -> None:
        sight, record = _sight(glance), self.record
        if len(record.sights) >= self._config.max_sights:
            record.left_out += 1
        else:
            record.sights.append(
                SightMoment(
                    glance.captured_ns,
                    sight,
                    glance.rejection,
                    glance.valence,
                    glance.confidence,
                    len(glance.tracks),
                    len(glance.seated),
                )
            )
        for track in glance.tracks:
            life = record.tracks.pop(track.track_id, TrackLife(track.first_ns, track.first_ns))
            record.tracks[track.track_id] = TrackLife(
                life.first_ns,
                glance.captured_ns,
                life.detections + 1,
                life.seated + (track.track_id in glance.seated),
                life.citizen + (track.track_id == glance.citizen),
            )
        while len(record.tracks) > self._config.max_tracks:
            del record.tracks[next(iter(record.tracks))]
        self._picture(glance, sight, pixels)

    def _picture(self, glance: Glance, sight: Sight, pixels: NDArray[np.uint8]) -> None:
        """Mask every detected frame, so that masks are held as in a stream; keep those that matter."""
        shown, doubt = self._zone.burn(pixels), None
        if self._anonymizer is not None:
            shown = self._anonymizer.anonymize(shown, glance.captured_ns)
            doubt = self._anonymizer.doubt
        calls = self.face.evidence().calls_by_track if self.face is not None else {}
        trouble = self._view.state.trouble
        jpeg = _jpeg(shown, self._config)
        self._latest = KeptPicture(
            Occasion.END, glance, sight, MappingProxyType(dict(calls)), jpeg, doubt, trouble
        )
        kept, state = self.record.pictures, (sight, glance.rejection, trouble)
        since_s = (glance.captured_ns - kept[-1].glance.captured_ns) / _NS if kept else None
        if since_s is None:
            occasion = Occasion.START
        elif state != self._state and since_s >= self._config.change_every_s:
            occasion = Occasion.CHANGE
        elif since_s >= self._config.picture_every_s:
            occasion = Occasion.PASSING
        else:
            return
        self._state = state
        if len(kept) < self._config.max_pictures:
            self._keep(self._latest, occasion)

    def _keep(self, picture: KeptPicture, occasion: Occasion) -> None:
        self._latest = replace(picture, occasion=occasion)
        self.record.pictures.append(self._latest)


def _sight(glance: Glance) -> Sight:
    if glance.second_face:
        return Sight.SECOND_FACE
    if glance.rejection is not None:
        return Sight.REFUSED
    if glance.valence is not None:
        return Sight.READ
    return Sight.HELD if glance.seated else Sight.NOBODY


def _jpeg(pixels: NDArray[np.uint8], config: InspectionConfig) -> bytes:
    height, width = pixels.shape[:2]
    scale = min(1.0, config.longest_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = pixels if scale == 1.0 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", shrunk, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()
