"""Wilson's score interval of a share, for whole and for effective numbers of answers, value by value.

Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Values: TypeAlias = npt.NDArray[np.float64]
"""One figure, or as many figures of the same kind as a simulation makes at once."""

NORMAL: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: every interval here is of 95 %."""


def wilson(share: npt.ArrayLike, n: npt.ArrayLike) -> tuple[Values, Values]:
    """Return the ends of the 95 % interval of shares.

    It stays within 0 and 1 and says something at 0 and at all of few answers too.

    Args:
        share: Shares, 0 to 1.
        n: Answers behind each share, above 0; an effective number need not be whole.
    """
    shares, answers = np.asarray(share, dtype=np.float64), np.asarray(n, dtype=np.float64)
    z2 = NORMAL * NORMAL
    middle = (shares + z2 / (2 * answers)) / (1 + z2 / answers)
    spread = np.sqrt(shares * (1 - shares) / answers + z2 / (4 * answers * answers))
    half = NORMAL / (1 + z2 / answers) * spread
    return np.maximum(0.0, middle - half), np.minimum(1.0, middle + half)
