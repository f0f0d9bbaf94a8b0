"""What an installer sees on top of a masked picture: the seat, the privacy masks, the smallest face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from inference.zones import frame_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inference.anonymizer import Doubt
    from inference.zones import Polygon, SeatZone

WIDEST_PX: Final = 960
"""Pictures are sent no wider than this: enough to aim a camera."""
_QUALITY: Final = 70
_SEAT: Final = (90, 200, 60)
_MASK: Final = (60, 60, 230)
_LIMIT: Final = (0, 200, 255)
_PAPER: Final = (255, 255, 255)


def draw_overlay(
    masked: NDArray[np.uint8], zone: SeatZone, doubt: Doubt | None, *, widest_px: int = WIDEST_PX
) -> NDArray[np.uint8]:
    """Return a smaller copy of a masked picture with lines on it.

    Args:
        masked: BGR, uint8, already anonymised.
        zone: Its seat is drawn green, its privacy masks red, the smallest face that is read yellow.
        doubt: Why the whole picture is covered, written across it; None when it is not.
        widest_px: Width that the picture is shrunk to.
    """
    height, width = frame_size(masked)
    scale = min(1.0, widest_px / width)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    shown = cv2.resize(masked, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    for polygon in zone.privacy_masks:
        cv2.polylines(shown, [_corners(polygon, width, height)], isClosed=True, color=_MASK, thickness=2)
    cv2.polylines(shown, [_corners(zone.seat, width, height)], isClosed=True, color=_SEAT, thickness=2)
    x, y = (sum(values) / len(zone.seat) for values in zip(*zone.seat, strict=True))
    half = zone.min_face_height / 2
    top, bottom = round((y - half) * height), round((y + half) * height)
    # A face is about as wide as four fifths of its height.
    across = round(0.4 * (bottom - top))
    middle = round(x * width)
    cv2.rectangle(shown, (middle - across, top), (middle + across, bottom), _LIMIT, 1)
    if doubt is not None:
        text = f"covered: {doubt.value.replace('_', ' ')}"
        cv2.putText(shown, text, (12, height - 14), cv2.FONT_HERSHEY_SIMPLEX, 0.6, _PAPER, 1, cv2.LINE_AA)
    return shown


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture as JPEG of a fixed, modest quality."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()


def _corners(polygon: Polygon, width: int, height: int) -> NDArray[np.int32]:
    return np.array([(round(x * (width - 1)), round(y * (height - 1))) for x, y in polygon], np.int32)
