"""A camera shown to its installer: masked, bounded in time, logged, kept by nobody.

One thread reads the camera, masks, draws and encodes; only the newest picture exists. Whoever watches takes
that one, or waits: nothing queues for a slow browser.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from capture.errors import CaptureError
from capture.faults import named
from capture.preview_overlay import draw_overlay, jpeg
from consent.entry import MaintenanceEnd
from consent.errors import ConsentError
from consent.maintenance import Maintenance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from capture.source import MediaSource
    from consent.ledger import ConsentStore
    from consent.maintenance import MaskedPicture
    from inference.anonymizer import Anonymizer, Doubt
    from inference.zones import SeatZone

_log = structlog.get_logger(__name__)
MOST_WATCHERS: Final = 4
UNWATCHED_S: Final = 60.0
"""A preview that nobody watches for so long ends."""


class PreviewFull(CaptureError):  # noqa: N818 - named for the state
    """As many browsers as may watch a preview do already."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The newest picture.

    Attributes:
        number: Counts up from 1.
        jpeg: Masked, with the overlay.
        doubt: Why the whole picture is covered; None when it is not.
    """

    number: int
    jpeg: bytes
    doubt: Doubt | None


@dataclass(frozen=True, slots=True)
class PreviewState:
    """How a preview stands.

    Attributes:
        frames: Pictures shown so far.
        left_s: Time until the camera is closed.
        doubt: Why the newest picture is covered as a whole.
        ended_by: Why it is over; None while it runs.
        error: What is wrong with the camera, in words; empty when nothing is.
    """

    frames: int
    left_s: float
    doubt: Doubt | None
    ended_by: MaintenanceEnd | None
    error: str


class _ZoneMask:
    """Privacy masks first, then everybody's face."""

    def __init__(self, zone: SeatZone, anonymizer: Anonymizer) -> None:
        self._zone = zone
        self._anonymizer = anonymizer

    def anonymize(self, image: NDArray[np.uint8], captured_ns: int) -> NDArray[np.uint8]:
        return self._anonymizer.anonymize(self._zone.burn(image), captured_ns)


class Preview:
    """Reads one camera under a maintenance entry and keeps the newest masked picture.

    Args:
        source: The camera; opened for the image alone.
        store: The consent log that tells of it.
        anonymizer: Covers faces; it has seen no other stream.
        zone: Seat and privacy masks of the counter.
        counter: Code of the counter.
        operator: Code of whoever looks.
        limit_s: When it ends at the latest.
        unwatched_s: It ends when nobody watched for this long.
        monotonic_s: Clock of that.
    """

    def __init__(
        self,
        source: MediaSource,
        store: ConsentStore,
        anonymizer: Anonymizer,
        zone: SeatZone,
        *,
        counter: str,
        operator: str,
        limit_s: int,
        unwatched_s: float = UNWATCHED_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a preview; nothing is opened."""
        self.counter = counter
        self.zone = zone
        self._anonymizer = anonymizer
        self._maintenance = Maintenance(
            store,
            source,
            _ZoneMask(zone, anonymizer),
            counter=counter,
            operator=operator,
            limit_s=limit_s,
        )
        self._unwatched_s = unwatched_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._watchers = 0
        self._watched_s = monotonic_s()
        self._shown: Shown | None = None
        self._error = ""
        self.ended = threading.Event()
        """Set once the camera is closed and its end is logged."""

    @property
    def shown(self) -> Shown | None:
        """The newest picture; None before the first and after the end."""
        return self._shown

    def state(self) -> PreviewState:
        """Tell how it stands."""
        shown = self._shown
        over = self.ended.is_set()
        return PreviewState(
            frames=self._maintenance.frames,
            left_s=0.0 if over else self._maintenance.left_s,
            doubt=None if shown is None else shown.doubt,
            ended_by=self._maintenance.ended_by if over else None,
            error=self._error,
        )

    def run(self) -> None:
        """Show the camera until its time ends, somebody stops it, nobody watches, or it breaks off.

        Raises:
            ConsentError: The start could not be logged; nothing was opened.
        """
        try:
            with self._maintenance as maintenance:
                self._watched_s = self._monotonic_s()
                for picture in maintenance.pictures():
                    self._take(picture)
                    if self._unwatched():
                        maintenance.stop(MaintenanceEnd.UNWATCHED)
        except CaptureError as error:
            self._error = str(error)
            _log.warning("preview_broke_off", counter=self.counter, error=str(error))
        except ConsentError as error:
            self._error = str(error)
            raise
        except Exception as error:
            self._error = named(error)
            raise
        finally:
            self._shown = None
            self.ended.set()

    def stop(self) -> None:
        """End it from any thread."""
        self._maintenance.stop(MaintenanceEnd.STOPPED)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count one browser that watches.

        Raises:
            PreviewFull: There are as many as may be.
        """
        with self._lock:
            if self._watchers >= MOST_WATCHERS:
                raise PreviewFull(
                    f"{MOST_WATCHERS} browsers watch this preview already: close one of them, then load again"
                )
            self._watchers += 1
        try:
            yield
        finally:
            with self._lock:
                self._watchers -= 1
                self._watched_s = self._monotonic_s()

    def _unwatched(self) -> bool:
        with self._lock:
            return not self._watchers and self._monotonic_s() - self._watched_s >= self._unwatched_s

    def _take(self, picture: MaskedPicture) -> None:
        doubt = self._anonymizer.doubt
        number = 1 if self._shown is None else self._shown.number + 1
        self._shown = Shown(number, jpeg(draw_overlay(picture.pixels, self.zone, doubt)), doubt)
