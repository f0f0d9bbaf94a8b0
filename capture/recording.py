"""Recordings: files read as fast as the reader takes them, or in real time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from capture.clock import CaptureClock
from capture.container import Opening, UnitReader, open_container
from capture.errors import (
    BrokenMedia,
    CaptureError,
    MediaFileMissing,
    SourceLost,
    SourceRefused,
    SourceUnavailable,
)
from capture.source import (
    SENSED,
    EmptyDevice,
    MediaDevice,
    MediaUnit,
    SourceHealth,
    SourceState,
    Tally,
)
from consent.purpose import Purpose

_CUT_S = 1.0
"""How much shorter than it says a recording may be before it counts as cut."""


class RecordingSource:
    """A media file.

    Args:
        path: The file.
        started_ns: Wall clock of its beginning; the time of opening where it is not known.
        paced: Give the units in real time instead of as fast as they are taken.
        missing_track_ok: Whether a permitted kind may be absent from the file.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        started_ns: int | None = None,
        paced: bool = False,
        missing_track_ok: bool = False,
    ) -> None:
        """Describe the recording; nothing is opened."""
        self._path = Path(path)
        self._started_ns = started_ns
        self._paced = paced
        self._missing_track_ok = missing_track_ok
        self._tally = Tally()

    @property
    def address(self) -> str:
        """The file's address."""
        return f"file:{self._path}"

    @property
    def offers(self) -> frozenset[Purpose]:
        """Picture and sound, unless the file lacks one."""
        return SENSED

    def describe(self) -> str:
        """Say what it is."""
        return f"recording {self._path.name}{' in real time' if self._paced else ''}"

    def health(self) -> SourceHealth:
        """Tell how it does."""
        return self._tally.health()

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Open the file for the permitted kinds.

        Raises:
            MediaFileMissing: There is no such file.
            SourceRefused: It may not be read.
            BrokenMedia: It is no media file, or a damaged one.
            TrackMissing: A permitted kind is absent.
        """
        permitted = purposes & SENSED
        if not permitted:
            return EmptyDevice()
        self._check_file()
        opening = Opening(self.address, str(self._path), None, {}, None, self._missing_track_ok)
        try:
            return PulledDevice(
                opening, permitted, tally=self._tally, started_ns=self._started_ns, paced=self._paced
            )
        except SourceUnavailable:
            # The reader's own message advises to switch the source on: it is about cameras.
            raise BrokenMedia(
                f"{self.address} is not a media file that can be read. "
                "Give an MP4, MKV, WAV or the like; play it once to see that it is whole."
            ) from None

    def _check_file(self) -> None:
        try:
            with self._path.open("rb") as file:
                empty = not file.read(1)
        except FileNotFoundError:
            raise MediaFileMissing(f"There is no file {self._path}. Check the name and the folder.") from None
        except IsADirectoryError:
            raise BrokenMedia(f"{self._path} is a folder. Name one media file in it.") from None
        except PermissionError:
            raise SourceRefused(
                f"{self._path} may not be read. Give this user the right to read it."
            ) from None
        except OSError as error:
            raise SourceUnavailable(f"{self._path} cannot be read ({error.strerror}).") from None
        if empty:
            raise BrokenMedia(f"{self._path} is empty. Copy or record it again.")


class PulledDevice:
    """A container that is decoded as it is read, in the reader's own thread.

    Args:
        opening: How to open it.
        purposes: What may be decoded.
        tally: Counts.
        started_ns: Wall clock of the beginning, or None for the time of opening.
        paced: Whether units wait for their time.
    """

    def __init__(
        self,
        opening: Opening,
        purposes: frozenset[Purpose],
        *,
        tally: Tally,
        started_ns: int | None,
        paced: bool,
    ) -> None:
        """Open the container."""
        self._opening = opening
        self._tally = tally
        self._paced = paced
        self._stop = threading.Event()
        self._busy = threading.Lock()
        self._container = open_container(opening)
        tally.state = SourceState.RUNNING
        try:
            start_us = self._container.start_time or 0
            clock = CaptureClock(
                opening.shown,
                opened_ns=time.time_ns() if started_ns is None else started_ns,
                origin_ns=start_us * 1000,
            )
            reader = UnitReader(
                self._container, purposes, clock, opening=opening, tally=tally, in_time_order=True
            )
        except BaseException:
            self._container.close()
            tally.state = SourceState.FAILED
            raise
        self._started_ns = clock.opened_ns
        self._opened_monotonic_ns = time.monotonic_ns()
        self._length_s = reader.length_s
        self._reached_s = 0.0
        self._given = 0
        self._units = reader.units(self._stop.is_set)

    def read(self) -> MediaUnit | None:
        """Give the next unit.

        Raises:
            BrokenMedia: The file ends early or cannot be decoded; what came before was good.
        """
        with self._busy:
            if self._stop.is_set():
                return None
            try:
                unit = next(self._units, None)
                if unit is None:
                    self._check_whole()
                    return None
            except CaptureError as error:
                broken = BrokenMedia(
                    f"{self._opening.shown} is damaged after {self._reached_s:.1f} s. "
                    f"Copy or record it again. ({error})"
                )
                worded = broken if isinstance(error, SourceLost) else error
                self._tally.state = SourceState.FAILED
                self._tally.last_error = str(worded)
                raise worded from None
            self._given += 1
            self._reached_s = max(self._reached_s, (unit.captured_ns - self._started_ns) / 1e9)
            if self._paced:
                due_ns = self._opened_monotonic_ns + unit.captured_ns - self._started_ns
                self._stop.wait(max(0, due_ns - time.monotonic_ns()) / 1e9)
            return None if self._stop.is_set() else unit

    def _check_whole(self) -> None:
        if self._stop.is_set():
            return
        if not self._given:
            raise BrokenMedia(
                f"{self._opening.shown} holds no picture and no sound that can be decoded. Record it again."
            )
        if self._length_s - self._reached_s > _CUT_S:
            raise BrokenMedia(
                f"{self._opening.shown} ends after {self._reached_s:.1f} s of {self._length_s:.1f} s: "
                "the file is cut or damaged. Copy or record it again."
            )

    def interrupt(self) -> None:
        """Stop reading; a unit that waits for its time is discarded."""
        self._stop.set()

    def close(self) -> None:
        """Close the file."""
        self._stop.set()
        with self._busy:
            self._units.close()
            self._container.close()
            if self._tally.state is SourceState.RUNNING:
                self._tally.state = SourceState.CLOSED
