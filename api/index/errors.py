"""What can go wrong with the index."""

from __future__ import annotations

from api.errors import ApiError


class IndexRefused(ApiError, ValueError):  # noqa: N818 - named for what happened
    """A formula, a period or a kept document that the index cannot be made with."""
