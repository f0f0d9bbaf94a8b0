"""What the face showed, as pseudo-counts: read against the person's own start.

Readings within one look repeat each other, so a look counts once however many frames it
holds, and takes their median.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Final

from inference.fusion_config import FusionConfig
from inference.pseudo_counts import Counts, signed, unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.face_moments import FaceMoment

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """The readings of one stretch of `look_s`, as one."""

    start_ns: int
    valence: float
    confidence: float


def looks_of(moments: Sequence[FaceMoment], config: FusionConfig) -> list[Look]:
    """Gather readings into looks; each takes the median, so a single frame moves little."""
    if not moments:
        return []
    first_ns, length_ns = moments[0].captured_ns, int(config.look_s * _NS)
    stretches: dict[int, list[FaceMoment]] = {}
    for moment in moments:
        stretches.setdefault((moment.captured_ns - first_ns) // length_ns, []).append(moment)
    return [
        Look(
            first_ns + number * length_ns,
            signed(median(moment.valence for moment in stretch)),
            unit(fmean(moment.confidence for moment in stretch)),
        )
        for number, stretch in stretches.items()
    ]


def own_start(moments: Sequence[FaceMoment], config: FusionConfig | None = None) -> tuple[float, int] | None:
    """Return the valence that a face is read against, and until when it was taken; None without a face."""
    config = config or FusionConfig()
    if not moments:
        return None
    return _own_start(moments, config), moments[0].captured_ns + int(config.baseline_s * _NS)


def _own_start(moments: Sequence[FaceMoment], config: FusionConfig) -> float:
    limit_ns = moments[0].captured_ns + int(config.baseline_s * _NS)
    return signed(median(moment.valence for moment in moments if moment.captured_ns < limit_ns))


def face_counts(moments: Sequence[FaceMoment], config: FusionConfig) -> Counts:
    """Turn the face into counts: a smile counts, a frown only where the person did not start with it."""
    return (
        looks_counts(looks_of(moments, config), _own_start(moments, config), config) if moments else Counts()
    )


def looks_counts(looks: Sequence[Look], start: float, config: FusionConfig) -> Counts:
    """Turn some of the looks into counts, read against the valence that the person started with."""
    if not looks:
        return Counts()
    opinions = [_face_opinion(look.valence, start) for look in looks]
    direction = _trimmed_mean(opinions)
    weight = config.face_ceiling * len(looks) / (len(looks) + config.face_half_looks)
    weight *= fmean(look.confidence for look in looks)
    return Counts(
        weight * max(0.0, direction),
        weight * config.neutral_face_weight * (1.0 - abs(direction)),
        weight * max(0.0, -direction),
    )


def _face_opinion(valence: float, start: float) -> float:
    """Read a look against the person's own start.

    Networks call talking and neutral faces negative, so a negative look counts only as far as it
    is below the start as well; a positive one counts in full when above the start, else by half.
    """
    change = valence - start
    if valence <= 0.0:
        return max(valence, min(0.0, change))
    return valence * (0.5 + 0.5 * min(1.0, max(0.0, change / 0.2)))


def _trimmed_mean(values: Sequence[float], share: float = 0.1) -> float:
    cut = int(len(values) * share)
    return fmean(sorted(values)[cut : len(values) - cut])
