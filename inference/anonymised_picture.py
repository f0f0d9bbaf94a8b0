"""A picture file without faces, written new from painted pixels: no tag of the source goes across."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from inference.errors import MediaUnreadable, OutputFailed
from inference.masks import painted

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from inference.anonymizer import Anonymizer, Doubt

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_JPEG_QUALITY: Final = 90
_AT_REST_NS: Final = 0


def read_picture(source: Path) -> NDArray[np.uint8]:
    """Return BGR pixels, turned as the file's tags say.

    Raises:
        MediaUnreadable: It is missing, broken, or holds several pictures.
    """
    try:
        packed = np.frombuffer(source.read_bytes(), np.uint8)
    except OSError as error:
        raise MediaUnreadable(f"{source} cannot be read: {error.strerror}. Check the name.") from error
    try:
        several = packed.size > 0 and cv2.imcount(str(source)) > 1
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR) if packed.size else None
    except cv2.error:  # a header that promises what no picture can have
        several, image = False, None
    if image is None:
        raise MediaUnreadable(f"{source} is no picture that can be read. Check the file.")
    if several:
        raise MediaUnreadable(
            f"{source} holds several pictures, and only the first would be kept. Take them apart, "
            "or make it a recording."
        )
    return image.astype(np.uint8, copy=False)


def anonymise_picture(
    source: Path, stream: BinaryIO, suffix: str, anonymizer: Anonymizer
) -> tuple[Doubt | None, float]:
    """Write a picture anew in which nobody can be recognised.

    Args:
        source: The picture.
        stream: Where the result goes.
        suffix: Its format, as the suffix of a name.
        anonymizer: Fresh: a single picture has no past.

    Returns:
        Why it is painted over as a whole (None where it is not), and the share that is painted.

    Raises:
        MediaUnreadable: The source cannot be read.
        OutputFailed: The result cannot be encoded.
    """
    image = read_picture(source)
    cover = anonymizer.cover(image, _AT_REST_NS)
    masked = anonymizer.paint(image, cover)
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix in {".jpg", ".jpeg"} else []
    made, packed = cv2.imencode(suffix, masked, options)
    if not made:
        raise OutputFailed(f"The picture cannot be written as {suffix}. Choose another suffix.")
    stream.write(packed.tobytes())
    height, width = image.shape[:2]
    share = 1.0 if cover.doubt is not None else float(painted(width, height, cover.boxes).mean())
    return cover.doubt, share
