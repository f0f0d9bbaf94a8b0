"""What can go wrong with the index."""

from __future__ import annotations

from api.errors import ApiError


class IndexRefused(ApiError, ValueError):  # noqa: N818 - named for what happened
    """A formula, a period or a kept document that the index cannot be made with.

    Attributes:
        text: The message; names in braces where `values` has them, as the pages' catalogues know it.
        values: What stands for the names.
    """

    def __init__(self, text: str, **values: object) -> None:
        """Keep both, so that a page can say it in its own language."""
        super().__init__(text.format(**values) if values else text)
        self.text = text
        self.values = values
