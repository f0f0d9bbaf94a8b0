"""Whether a camera still sees what it was aimed at: covered, dark, dazzled, defocused, frozen, moved.

Looks once a second of capture time at permitted frames, beside the face reader; no reading is made of it.
It tells people what to do at the counter, and the face reader which stretches not to read.

What is kept between frames is small and shows nobody. A look is 64 by 36 grey values and lives for seconds.
The reference of the background is the map of edges in the median of such looks, without the seat, without
any face that was found, and without whatever moved: at that size a face beside the seat is four points high,
and nobody can be told from anybody. It stays in the memory of this program, is never written, and what a
withdrawn session added to it is dropped with the session. So it is no personal data. The price: what a
camera sees when the program starts is taken as right, also where it was turned while the program was off.
"""

from __future__ import annotations

import threading
import zlib
from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from inference.errors import SettingError
from inference.zones import frame_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from consent.gate import Permitted
    from inference.media import Frame
    from inference.zones import Rectangle, SeatZone

_NS: Final = 1_000_000_000
LOOK: Final = (64, 36)
"""Width and height of a look."""
_FINE_PX: Final = 320
"""Width at which sharpness is measured."""
_TILES: Final = (9, 16)
_REACH: Final = (16, 9)
"""How far, in points of a look, a shift of the background is searched."""


class CameraTrouble(StrEnum):
    """What is wrong with a camera's view."""

    COVERED = "covered"
    DARK = "dark"
    BRIGHT = "bright"
    DEFOCUSED = "defocused"
    FROZEN = "frozen"
    MOVED = "moved"

    @property
    def reason(self) -> str:
        """What is seen, and what to do about it."""
        return _REASONS[self]


_REASONS: Final[Mapping[CameraTrouble, str]] = {
    CameraTrouble.COVERED: "the picture shows next to nothing: take away what covers the lens",
    CameraTrouble.DARK: "the picture is too dark to read a face: switch on the light",
    CameraTrouble.BRIGHT: "the picture is blown out: shade the window or lower the camera's exposure",
    CameraTrouble.DEFOCUSED: "the picture is blurred: clean the lens and focus the camera on the seat",
    CameraTrouble.FROZEN: "the same picture comes again and again: restart the camera",
    CameraTrouble.MOVED: "the camera looks elsewhere than before: aim it again, and check the seat zone",
}
UNREADABLE: Final = frozenset(CameraTrouble) - {CameraTrouble.DARK, CameraTrouble.BRIGHT}
"""Troubles in which no face evidence is read. What is dark or bright is left to the gates of each face."""


@dataclass(frozen=True, slots=True)
class CameraViewConfig:
    """When a view counts as troubled.

    Attributes:
        look_hz: Looks in a second of capture time.
        covered_detail: Mean step between neighbouring points of a look, in grey values, below which the
            picture shows next to nothing.
        dark_level: Grey value that nine tenths of the picture stay below when it is dark.
        black_level: The same for black: no room is as dark as a capped lens.
        bright_level: Grey value that two thirds of the picture are above when it is blown out.
        blur_limit: Sharpness (fine over coarse steps) below which a picture is blurred whatever camera it is.
        blur_share: Share of the camera's own usual sharpness below which it is.
        usual_looks: Looks over which the usual sharpness is taken.
        moved_points: Shift of the background, in points of a look (a 64th of the width), that counts.
        fits: Correlation with the reference from which the background is where it was.
        found: Correlation from which it is found at another place.
        better: How much better it must fit there than where it was.
        lost: Correlation below which it is not there at all, wherever one looks.
        reference_looks: Looks from which the reference is made.
        least_seen: Share of the reference that people have to leave in sight before it is judged.
        at_rest: Correlation with the look before from which a view without the background is a place, and
            not somebody who stands before it.
        still_step: Change of a point between looks beyond which it counts as moving.
        least_background: Share of the picture that the reference needs.
        raise_s: Seconds a trouble is seen before it is raised.
        raise_moved_s: The same for a moved camera: somebody may stand before the background for a while.
        clear_s: Seconds without it before it is taken back.
    """

    look_hz: float = 1.0
    covered_detail: float = 1.0
    dark_level: float = 28.0
    black_level: float = 10.0
    bright_level: float = 245.0
    blur_limit: float = 0.04
    blur_share: float = 0.5
    usual_looks: int = 60
    moved_points: float = 3.0
    fits: float = 0.93
    found: float = 0.5
    better: float = 0.05
    lost: float = 0.25
    reference_looks: int = 8
    least_seen: float = 0.25
    at_rest: float = 0.95
    still_step: float = 12.0
    least_background: float = 0.12
    raise_s: float = 5.0
    raise_moved_s: float = 10.0
    clear_s: float = 3.0

    def __post_init__(self) -> None:
        """Refuse what could never raise or clear anything."""
        if self.look_hz <= 0 or self.raise_s <= 0 or self.clear_s <= 0:
            raise SettingError("look_hz, raise_s and clear_s are above 0: take 1, 5 and 3 if in doubt.")
        if self.reference_looks < 3:  # noqa: PLR2004 - the median of two is either
            raise SettingError(
                "A reference needs at least 3 looks, or whoever walks past becomes part of it."
            )


@dataclass(frozen=True, slots=True)
class CameraState:
    """How the view stands.

    Attributes:
        trouble: What is wrong; None when nothing is.
        since_ns: Capture time of the first look of this state; None before any look.
        shift: How far the background lies from where it was, shares of width and height; (0, 0) unless moved.
    """

    trouble: CameraTrouble | None = None
    since_ns: int | None = None
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def name(self) -> str:
        """The word of health and metrics: `unknown`, `good` or the trouble's own."""
        if self.trouble is not None:
            return self.trouble.value
        return "unknown" if self.since_ns is None else "good"


@dataclass(frozen=True, slots=True)
class _Look:
    """What is measured of one frame: nothing of it is kept longer than its use here."""

    grey: NDArray[np.float32]
    detail: float
    sharpness: float
    checksum: int


class CameraView:
    """Watches the view of one camera over all sessions of its counter.

    Safe to ask from any thread; frames come from one at a time.

    Args:
        zone: The seat is no part of the background; privacy masks neither.
        config: When a view counts as troubled.
    """

    def __init__(self, zone: SeatZone, config: CameraViewConfig | None = None) -> None:
        """Begin without a reference: what the first looks show is taken as right."""
        self._config = config or CameraViewConfig()
        self._zone = zone
        self._fixed = _outside(zone)
        self._lock = threading.Lock()
        self._state = CameraState()
        self._background: _Background | None = None
        self._usual: deque[float] = deque(maxlen=self._config.usual_looks)
        self._fresh_background = False
        self._fresh_usual = 0
        self._begin()

    def _begin(self) -> None:
        self._last_ns: int | None = None
        self._segment = 0
        self._checksum: int | None = None
        self._seen: CameraTrouble | None = None
        self._since_ns = 0
        self._recent: deque[_Suspicion] = deque()
        self._edges_before: NDArray[np.float32] | None = None
        self._looks: list[NDArray[np.float32]] = []
        self._people = np.zeros((LOOK[1], LOOK[0]), bool)

    @property
    def state(self) -> CameraState:
        """How the view stands."""
        return self._state

    @property
    def looked_ns(self) -> int | None:
        """Capture time of the last look; None before any of this stretch."""
        return self._last_ns

    def readable(self) -> bool:
        """Tell whether faces of this moment may be read: no such trouble is raised, or suspected just now."""
        return self._state.trouble not in UNREADABLE and self._seen not in UNREADABLE

    def see(self, frame: Permitted[Frame], people: Iterable[Rectangle] = ()) -> CameraState:
        """Look at a permitted frame; most are passed over, at the configured rate.

        Args:
            frame: The frame.
            people: Boxes of the faces that are known in it, pixels; they are no part of the background.

        Raises:
            NotPermitted: The lease ended meanwhile.
            FrameError: The frame is not uint8 BGR.
        """
        picture = frame.open()
        return self.look(picture.pixels, picture.captured_ns, picture.segment, people)

    def look(
        self, pixels: NDArray[np.uint8], now_ns: int, segment: int = 0, people: Iterable[Rectangle] = ()
    ) -> CameraState:
        """Look at a picture whose permission the caller has checked; `see` does that.

        Args:
            pixels: BGR, uint8.
            now_ns: Capture time.
            segment: Breaks of the time line before it.
            people: As for `see`.
        """
        with self._lock:
            if self._last_ns is not None and (segment != self._segment or now_ns < self._last_ns):
                self._begin()
            self._segment = segment
            if self._last_ns is not None and now_ns - self._last_ns < _NS / self._config.look_hz - 500_000:
                return self._state
            self._take(pixels, now_ns, people)
            self._last_ns = now_ns
            return self._state

    def session_ended(self, *, withdrawn: bool = False) -> None:
        """Forget what is between two looks; after a withdrawal also what that session added."""
        with self._lock:
            self._begin()
            if withdrawn:
                if self._fresh_background:
                    self._background = None
                for _ in range(min(self._fresh_usual, len(self._usual))):
                    self._usual.pop()
            self._fresh_background, self._fresh_usual = False, 0

    def aimed_anew(self) -> None:
        """Forget reference and usual sharpness: somebody has aimed the camera."""
        with self._lock:
            self._background, self._state = None, CameraState()
            self._usual.clear()
            self._begin()

    def _take(self, pixels: NDArray[np.uint8], now_ns: int, people: Iterable[Rectangle]) -> None:
        look = _look(pixels)
        hidden = _boxes(people, *frame_size(pixels))
        shift = (0.0, 0.0)
        frozen, light = self._frozen(look), self._light(look)
        # An encoder makes a black picture the same in every bit: it is covered, whatever else.
        trouble = light if light is CameraTrouble.COVERED else frozen or light or self._blur(look)
        if trouble is None:
            shift = self._shift(look, hidden)
            trouble = CameraTrouble.MOVED if shift != (0.0, 0.0) else None
        if trouble is None:
            self._usual.append(look.sharpness)
            self._fresh_usual += 1
            self._learn(look, hidden)
        self._settle(trouble, now_ns, shift)

    def _frozen(self, look: _Look) -> CameraTrouble | None:
        """A camera that works has noise: two pictures of it are never the same in every bit."""
        before, self._checksum = self._checksum, look.checksum
        return CameraTrouble.FROZEN if before == look.checksum else None

    def _light(self, look: _Look) -> CameraTrouble | None:
        light = float(np.quantile(look.grey, 0.9))
        if light < self._config.dark_level:  # a little light leaves little contrast, and is no cap
            return CameraTrouble.DARK if light >= self._config.black_level else CameraTrouble.COVERED
        if float(np.quantile(look.grey, 1 / 3)) > self._config.bright_level:
            return CameraTrouble.BRIGHT
        return CameraTrouble.COVERED if look.detail < self._config.covered_detail else None

    def _blur(self, look: _Look) -> CameraTrouble | None:
        limit = self._config.blur_limit
        if len(self._usual) >= self._config.reference_looks:
            limit = max(limit, self._config.blur_share * float(np.median(self._usual)))
        return CameraTrouble.DEFOCUSED if look.sharpness < limit else None

    def _learn(self, look: _Look, hidden: NDArray[np.bool_]) -> None:
        """Gather looks for the reference while there is none."""
        if self._background is not None:
            return
        self._looks.append(look.grey)
        self._people |= hidden
        if len(self._looks) < self._config.reference_looks:
            return
        stack = np.stack(self._looks)
        still = (stack.max(axis=0) - stack.min(axis=0)) <= self._config.still_step
        # A point beside a moving one may hold a piece of it.
        moving = cv2.dilate((~still).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        kept = self._fixed & ~self._people & ~moving
        median = np.median(stack, axis=0).astype(np.float32)
        self._looks, self._people = [], np.zeros_like(self._people)
        if float(kept.mean()) >= self._config.least_background:
            self._background = _Background(_edges(median), kept)
            self._fresh_background = True

    def _shift(self, look: _Look, hidden: NDArray[np.bool_]) -> tuple[float, float]:
        """Return how far the background lies from the reference; (0, 0) where it is, or nothing is known."""
        if self._background is None:
            return 0.0, 0.0
        seen = self._fixed & ~hidden
        edges, before = _edges(look.grey), self._edges_before
        self._edges_before = edges
        if self._background.in_sight(seen) < self._config.least_seen:
            return 0.0, 0.0
        found = self._background.find(edges, seen, fits=self._config.fits)
        if found.here >= self._config.fits:
            return 0.0, 0.0
        far = max(abs(found.across), abs(found.down)) >= self._config.moved_points
        if far and found.there >= max(self._config.found, found.still + self._config.better):
            return found.across / LOOK[0], found.down / LOOK[1]
        # Nothing of the background is left in reach. A place stands still; whoever hides it does not.
        if found.here < self._config.lost and before is not None:
            return (1.0, 1.0) if _alike(before, edges, seen) >= self._config.at_rest else (0.0, 0.0)
        return 0.0, 0.0

    def _settle(self, trouble: CameraTrouble | None, now_ns: int, shift: tuple[float, float]) -> None:
        """Raise what lasts, take back what is over.

        Troubles may take turns from look to look, as on a dark picture that an encoder now and then makes
        the same in every bit: what counts is that there is one, and the most frequent of late is named.
        """
        if self._last_ns is None or (trouble is None) is not (self._seen is None):
            self._since_ns = now_ns
            self._recent.clear()
        self._seen = trouble
        if trouble is None:
            if self._state.since_ns is None:
                self._state = CameraState(None, now_ns)
            elif self._state.trouble is not None and self._lasts(now_ns, self._config.clear_s):
                self._state = CameraState(None, self._since_ns)
            return
        if trouble is self._state.trouble:
            self._recent.clear()
            self._since_ns = now_ns
            return
        if self._state.trouble is not None and not self._recent:
            self._since_ns = now_ns  # the first look of another one than is raised
        self._recent.append(_Suspicion(now_ns, trouble, shift))
        while now_ns - self._recent[0].at_ns > self._config.raise_s * _NS + 500_000:
            self._recent.popleft()
        named = _most_frequent(self._recent)
        moved = named is CameraTrouble.MOVED
        if self._lasts(now_ns, self._config.raise_moved_s if moved else self._config.raise_s):
            latest = next(one for one in reversed(self._recent) if one.trouble is named)
            self._state = CameraState(named, self._since_ns, latest.shift)

    def _lasts(self, now_ns: int, wait_s: float) -> bool:
        return now_ns - self._since_ns >= wait_s * _NS - 500_000


@dataclass(frozen=True, slots=True)
class _Suspicion:
    """What one look found wrong."""

    at_ns: int
    trouble: CameraTrouble
    shift: tuple[float, float]


def _most_frequent(recent: Iterable[_Suspicion]) -> CameraTrouble:
    """Return what most looks found; in a draw, a frozen picture last, for an encoder can feign it."""
    counted = Counter(one.trouble for one in recent)
    return max(counted, key=lambda one: (counted[one], one is not CameraTrouble.FROZEN, one.value))


@dataclass(frozen=True, slots=True)
class _Fit:
    """Where a reference fits best, in points, and how well: here by what both show; still and there alike."""

    across: int
    down: int
    here: float
    still: float
    there: float


class _Background:
    """The edges of what does not move, to lay a later picture over."""

    def __init__(self, edges: NDArray[np.float32], kept: NDArray[np.bool_]) -> None:
        self._kept = kept
        self._edges = _centred(edges, kept)

    def in_sight(self, seen: NDArray[np.bool_]) -> float:
        """Return the share of the reference that nobody hides."""
        return float((self._kept & seen).sum() / max(1, int(self._kept.sum())))

    def find(self, edges: NDArray[np.float32], seen: NDArray[np.bool_], *, fits: float) -> _Fit:
        """Lay the reference over a picture, where it was and everywhere in reach."""
        both = self._kept & seen
        now = _centred(edges, both)
        then = _centred(self._edges, both)
        here = float((now * then).sum() / (np.sqrt((now**2).sum() * (then**2).sum()) + 1e-6))
        if here >= fits:
            return _Fit(0, 0, here, here, here)
        # The reference is slid over the picture: what it misses at a border counts for neither.
        margin = ((_REACH[1], _REACH[1]), (_REACH[0], _REACH[0]))
        whole = np.pad(_centred(edges, np.ones_like(seen)), margin)
        within = np.pad(np.ones_like(edges), margin)
        kept = self._kept.astype(np.float32)
        product = cv2.matchTemplate(whole, self._edges, cv2.TM_CCORR)
        energy = cv2.matchTemplate(whole**2, kept, cv2.TM_CCORR)
        own = cv2.matchTemplate(within, self._edges**2, cv2.TM_CCORR)
        overlap = cv2.matchTemplate(within, kept, cv2.TM_CCORR)
        fit = product / (np.sqrt(np.maximum(energy, 0) * np.maximum(own, 0)) + 1e-3)
        fit[overlap < 0.5 * kept.sum()] = -1.0
        row, column = np.unravel_index(int(np.argmax(fit)), fit.shape)
        still = float(fit[_REACH[1], _REACH[0]])
        return _Fit(int(column) - _REACH[0], int(row) - _REACH[1], here, still, float(fit[row, column]))


def _look(pixels: NDArray[np.uint8]) -> _Look:
    height, width = frame_size(pixels)
    step = max(1, width // (2 * _FINE_PX))
    thin = pixels
    if step > 1:  # every second or third point, at the speed of a copy
        thin = cv2.resize(pixels, (width // step, height // step), interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]  # uint8 in, uint8 out
    fine = cv2.cvtColor(thin, cv2.COLOR_BGR2GRAY)
    checksum = zlib.crc32(fine.data)
    if fine.shape[1] > _FINE_PX:
        size = (_FINE_PX, max(1, round(height * _FINE_PX / width)))
        fine = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    grey = cv2.resize(fine, LOOK, interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2
    return _Look(grey, detail, _sharpness(fine.astype(np.uint8)), checksum)


def _sharpness(fine: NDArray[np.uint8]) -> float:
    """Return fine steps over coarse ones in the sharpest tenth of the picture.

    A blur takes the fine steps and leaves the coarse ones; light and contrast change both alike.
    """
    full = fine.astype(np.float32)
    small = cv2.GaussianBlur(full, (0, 0), 1.0)
    sharp = np.abs(full - small)
    # The coarse steps have no fine detail to lose: half the size, a quarter of the work.
    half = cv2.resize(small, (max(1, fine.shape[1] // 2), max(1, fine.shape[0] // 2)))
    coarse = np.abs(half - cv2.GaussianBlur(half, (0, 0), 2.0))
    tiles = (_TILES[1], _TILES[0])
    high = cv2.resize(sharp, tiles, interpolation=cv2.INTER_AREA)
    low = cv2.resize(coarse, tiles, interpolation=cv2.INTER_AREA)
    noise = np.quantile(high, 0.1)  # what the smoothest tenth shows is the sensor's, not the scene's
    return float((np.quantile(high, 0.9) - noise) / (np.quantile(low, 0.9) + 1.0))


def _edges(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength: NDArray[np.float32] = np.sqrt(across**2 + down**2).astype(np.float32)
    return strength


def _centred(edges: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the edges less their mean, and nothing where they do not count."""
    if not kept.any():
        return np.zeros_like(edges)
    centred: NDArray[np.float32] = np.where(kept, edges - edges[kept].mean(), 0.0).astype(np.float32)
    return centred


def _alike(one: NDArray[np.float32], other: NDArray[np.float32], kept: NDArray[np.bool_]) -> float:
    """Return the correlation of two maps of edges where they count."""
    first, second = _centred(one, kept), _centred(other, kept)
    return float((first * second).sum() / (np.sqrt((first**2).sum() * (second**2).sum()) + 1e-6))


def _outside(zone: SeatZone) -> NDArray[np.bool_]:
    """Return the points of a look that belong neither to the seat nor to a privacy mask."""
    inside = np.zeros((LOOK[1], LOOK[0]), np.uint8)
    for polygon in (zone.seat, *zone.privacy_masks):
        corners = [(round(x * (LOOK[0] - 1)), round(y * (LOOK[1] - 1))) for x, y in polygon]
        cv2.fillPoly(inside, [np.array(corners, np.int32)], 1)
    outside: NDArray[np.bool_] = inside == 0
    return outside


def _boxes(people: Iterable[Rectangle], height: int, width: int) -> NDArray[np.bool_]:
    """Return the points of a look that a person may cover: each face, the body below it, some room."""
    hidden = np.zeros((LOOK[1], LOOK[0]), bool)
    for box in people:
        room = box.x2 - box.x1
        x1, x2 = ((box.x1 - room) / width * LOOK[0], (box.x2 + room) / width * LOOK[0])
        y1 = (box.y1 - room / 2) / height * LOOK[1]
        hidden[max(0, int(y1)) :, max(0, int(x1)) : max(0, int(x2) + 1)] = True
    return hidden
