"""A recording without faces: read twice, looked at once, written new.

The first reading decides what is painted over in each picture, the second paints and writes. A picture
that the second reading brings otherwise than the first, or that cannot be decoded, is covered whole.
Nothing of the source is copied: pictures are made anew from painted pixels, sound (where it is kept) from
samples, and neither tags, chapters, subtitles, data tracks nor attached pictures have a way across.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.cover_plan import Planned, checksum_of, with_hindsight
from inference.errors import MediaUnreadable
from inference.masks import INK, painted
from inference.recording_reader import RecordingReader, Shot, opened_recording
from inference.recording_writer import PictureTrack, SoundTrack, opened_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from inference.anonymizer import Anonymizer, AnonymizerConfig

BROKEN: Final = "broken_picture"
"""Reason for a whole mask: the picture could not be decoded, or not twice alike."""
_NS: Final = 1_000_000_000
_THREADS: Final = 2
_DAMAGED_IN_A_ROW: Final = 200


@dataclass(slots=True)
class VideoReport:
    """What was done to a recording.

    Attributes:
        frames: Pictures written.
        covered_whole: Of those, pictures painted over as a whole, by reason.
        painted_share: Mean share of a picture that is painted over.
        sound: `none`, `dropped` or `kept`.
        left_out: Tracks of the source that have no part in the result, by kind.
        damaged_sound: Packets of sound that could not be decoded and are missing.
    """

    frames: int = 0
    covered_whole: Counter[str] = field(default_factory=Counter)
    painted_share: float = 0.0
    sound: str = "none"
    left_out: Counter[str] = field(default_factory=Counter)
    damaged_sound: int = 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """What has to be covered, by time stamp, and the time stamps of pictures that cannot be decoded."""

    covers: dict[int, Planned]
    undecoded: tuple[int, ...]


def anonymise_video(
    source: Path,
    stream: BinaryIO,
    container: str,
    anonymizer: Anonymizer,
    config: AnonymizerConfig,
    *,
    keep_sound: bool,
    progress: Callable[[int, int], None],
) -> VideoReport:
    """Write a recording anew in which nobody can be recognised.

    Args:
        source: The recording.
        stream: Where the result goes; it can be sought.
        container: What FFmpeg calls its format.
        anonymizer: Fresh; sees every picture once, in order.
        config: Its configuration.
        keep_sound: Whether the first sound track is written, too. A voice identifies.
        progress: Told how many steps are done, of how many.

    Raises:
        MediaUnreadable: The source has no picture, or breaks off at once.
        OutputFailed: The result cannot be written in full.
    """
    plan = _planned(source, anonymizer, config, progress)
    return _written(source, stream, container, anonymizer, plan, keep_sound=keep_sound, progress=progress)


def _planned(
    source: Path, anonymizer: Anonymizer, config: AnonymizerConfig, progress: Callable[[int, int], None]
) -> _Plan:
    """Look at every picture once."""
    stamps: list[int] = []
    pictures: list[Planned] = []
    with opened_recording(source) as (reader, video):
        base = video.time_base or Fraction(1, _NS)
        expected = 2 * (video.frames or 0)
        reading = RecordingReader(reader, video)
        for shot in reading.items((video,)):
            if not isinstance(shot, Shot) or shot.image is None:
                continue
            at_ns = int(shot.pts * base * _NS)
            height, width = shot.image.shape[:2]
            cover = anonymizer.cover(shot.image, at_ns)
            stamps.append(shot.pts)
            pictures.append(Planned(at_ns, checksum_of(shot.image), (height, width), cover))
            progress(len(stamps), max(expected, 2 * len(stamps)))
    if not pictures:
        raise MediaUnreadable(f"{source} has no picture that can be read. Check the file.")
    covers = dict(zip(stamps, with_hindsight(pictures, config), strict=True))
    return _Plan(covers, reading.undecoded())


def _written(
    source: Path,
    stream: BinaryIO,
    container: str,
    anonymizer: Anonymizer,
    plan: _Plan,
    *,
    keep_sound: bool,
    progress: Callable[[int, int], None],
) -> VideoReport:
    """Read the recording a second time, paint every picture and write it."""
    report = VideoReport()
    with opened_recording(source) as (reader, video), opened_result(stream, container) as writer:
        sound = next(iter(reader.streams.audio), None)
        _count_left_out(reader, video, sound, report)
        if sound is not None:
            report.sound = "kept" if keep_sound else "dropped"
        pictures = PictureTrack(writer, video, next(iter(plan.covers.values())).size, container)
        voice = SoundTrack(writer, sound, container) if sound is not None and keep_sound else None
        painting = _Painting(plan, anonymizer, pictures, report, progress)
        wanted: tuple[Stream, ...] = (video,) if voice is None else (video, voice.source)
        for item in RecordingReader(reader, video).items(wanted):
            if isinstance(item, Shot):
                painting.show(item)
            elif voice is not None:
                report.damaged_sound += voice.write(item)
        painting.finish()
        if voice is not None:
            voice.finish()
        pictures.finish()
    return report


class _Painting:
    """Paints pictures as planned, and puts wholly painted ones where the source has broken ones."""

    def __init__(
        self,
        plan: _Plan,
        anonymizer: Anonymizer,
        pictures: PictureTrack,
        report: VideoReport,
        progress: Callable[[int, int], None],
    ) -> None:
        self._plan = plan
        self._anonymizer = anonymizer
        self._pictures = pictures
        self._report = report
        self._progress = progress
        self._waiting = list(plan.undecoded)
        self._shares: list[float] = []

    def show(self, shot: Shot) -> None:
        while self._waiting and self._waiting[0] <= shot.pts:
            stamp = self._waiting.pop(0)
            if stamp < shot.pts:
                self._write(Shot(stamp, None))
        self._write(shot)

    def finish(self) -> None:
        for stamp in self._waiting:
            self._write(Shot(stamp, None))
        self._report.painted_share = float(np.mean(self._shares))

    def _write(self, shot: Shot) -> None:
        image, reason = self._painted(shot)
        self._pictures.write(image, shot.pts)
        self._report.frames += 1
        if reason is not None:
            self._report.covered_whole[reason] += 1
        looked_at = len(self._plan.covers)
        done = looked_at + self._report.frames
        self._progress(done, max(2 * looked_at + len(self._plan.undecoded), done))

    def _painted(self, shot: Shot) -> tuple[NDArray[np.uint8], str | None]:
        """Return a painted picture, and why it is painted as a whole; None where it is not."""
        planned = self._plan.covers.get(shot.pts)
        if shot.image is None or planned is None or planned.checksum != checksum_of(shot.image):
            self._shares.append(1.0)
            return np.full((*self._pictures.size, 3), INK[0], np.uint8), BROKEN
        height, width = shot.image.shape[:2]
        where = painted(width, height, planned.cover.boxes)
        self._shares.append(1.0 if planned.cover.doubt is not None else float(where.mean()))
        reason = None if planned.cover.doubt is None else planned.cover.doubt.value
        return self._anonymizer.paint(shot.image, planned.cover), reason


def _count_left_out(
    reader: InputContainer, video: VideoStream, sound: AudioStream | None, report: VideoReport
) -> None:
    used = {video.index} | ({sound.index} if sound is not None else set())
    for track in reader.streams:
        if track.index not in used:
            report.left_out[track.type or "unknown"] += 1
