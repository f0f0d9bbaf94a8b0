"""What a counter handles, and which of it the service under way is about.

A procedure is a fact about the service, as its dossier says it, and none about the citizen or the officer. It
stands in the ballot of the service, where there is one, and in no record of consent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capture.errors import ProcedureUnknown

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Procedure:
    """One procedure that a counter handles.

    Attributes:
        code: As the centre knows it from the transactions.
        vi: Its name in Vietnamese.
        en: Its name in English.
    """

    code: str
    vi: str
    en: str

    def name(self, language: str) -> str:
        """Return its name in the language of a page."""
        return self.en if language == "en" else self.vi


class ServiceProcedure:
    """Which procedure the service under way is about; nothing of it waits for a lock or a log.

    Args:
        offered: What the counter handles. A single one is what every service is about.
    """

    def __init__(self, offered: Iterable[Procedure] = ()) -> None:
        """Begin without a service."""
        self.offered = tuple(offered)
        self._chosen = self._by_itself()

    @property
    def chosen(self) -> Procedure | None:
        """The procedure; None where several are handled and nobody has said which."""
        return self._chosen

    @property
    def code(self) -> str | None:
        """Its code, as the ballot carries it."""
        chosen = self._chosen
        return None if chosen is None else chosen.code

    @property
    def choosable(self) -> tuple[Procedure, ...]:
        """What the officer may choose from; nothing where there is nothing to choose."""
        return self.offered if len(self.offered) > 1 else ()

    def begin(self) -> None:
        """Forget the choice of the service before."""
        self._chosen = self._by_itself()

    def choose(self, code: str | None) -> None:
        """Take the officer's word for the service under way; None leaves it open again.

        Raises:
            ProcedureUnknown: The counter does not handle it by choice.
        """
        found = {item.code: item for item in self.choosable}
        if code is not None and code not in found:
            listed = ", ".join(found) or "none, as there is nothing to choose"
            raise ProcedureUnknown(
                f"this counter has no such procedure to choose: take one of its list ({listed}), or add it "
                "to 'procedures' of the counter in the edge's configuration"
            )
        self._chosen = self._by_itself() if code is None else found[code]

    def _by_itself(self) -> Procedure | None:
        return self.offered[0] if len(self.offered) == 1 else None
