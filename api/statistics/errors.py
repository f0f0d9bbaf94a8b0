"""The exception tree of the statistics.

StatisticsError
├── SumsInvalid          sums or weights that no ballots and scores have
├── CalibrationInvalid   labels or stored parameters that no calibration is made of
└── SimulationRefused    a simulation that cannot be run as asked
"""

from __future__ import annotations

from api.errors import ApiError


class StatisticsError(ApiError):
    """Base of all errors of the statistics."""


class SumsInvalid(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """Sums or weights that no ballots and scores have."""


class CalibrationInvalid(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """Labels or stored parameters that no calibration is made of."""


class SimulationRefused(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """A simulation that cannot be run as asked."""
