"""The settings of reading faces, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from inference.errors import SettingError
from inference.face_quality import GateConfig
from inference.following import FollowConfig
from inference.seat import SeatConfig
from inference.tracking import TrackingConfig

_MAX_HZ: Final = 120.0
_MIN_MOMENTS: Final = 16


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """How faces are read.

    Attributes:
        detect_hz: Detections in a second of capture time, at most.
        read_hz: Readings of the expression in a second, at most. Above `detect_hz` the citizen's
            face is followed between detections.
        detect_px: The longer side of what the detector sees, at most.
        max_moments: Readings kept; beyond it neighbours are averaged, so memory stays bounded.
        gates: When a face is readable.
        seat: Who is the citizen, and when a second face ends the reading.
        tracking: When two boxes are one face.
        following: How a face is followed between detections.
    """

    detect_hz: float = 4.0
    read_hz: float = 4.0
    detect_px: int = 320
    max_moments: int = 2048
    gates: GateConfig = field(default_factory=GateConfig)
    seat: SeatConfig = field(default_factory=SeatConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    following: FollowConfig = field(default_factory=FollowConfig)

    def __post_init__(self) -> None:
        """Refuse rates that cannot work."""
        for name, rate_hz in (("detect_hz", self.detect_hz), ("read_hz", self.read_hz)):
            if not 0.0 < rate_hz <= _MAX_HZ:
                raise SettingError(f"{name} is {rate_hz}; it must be above 0 and at most {_MAX_HZ} a second.")
        if self.max_moments < _MIN_MOMENTS:
            raise SettingError(f"max_moments is {self.max_moments}; it needs at least {_MIN_MOMENTS}.")
