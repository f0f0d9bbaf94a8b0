"""Withdrawal by the code on a slip, during the session or long after it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from capture.slip import read_code
from capture.unwritten import Step, UnwrittenSteps
from consent.errors import ReceiptRefused, TransitionRefused
from consent.record import IndicatedBy
from consent.state import TRANSITIONS, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from consent.erasure import ErasureCertificate
    from consent.ledger import ConsentStore

_log = structlog.get_logger(__name__)
METHOD = "kiosk-code"
"""How such a withdrawal is logged."""


class Outcome(StrEnum):
    """What became of a code."""

    NO_CODE = "no_code"
    """What was typed is no code."""
    UNKNOWN = "unknown"
    """No slip of this machine has this code."""
    NOTHING = "nothing"
    """The consent never permitted anything, or was stopped before: nothing to take back."""
    WITHDRAWN = "withdrawn"
    WAITS = "waits"
    """Taken back, and written as soon as the log can be written."""


@dataclass(frozen=True, slots=True)
class CodeAnswer:
    """What the citizen is told.

    Attributes:
        outcome: What became of the code.
        record_id: The consent it belongs to; None without one.
        certificate: What was erased; None while that is under way, or where nothing is.
    """

    outcome: Outcome
    record_id: UUID | None = None
    certificate: ErasureCertificate | None = None


class CodeWithdrawals:
    """Takes codes; safe to share between threads.

    Args:
        store: The consent log.
        steps: Takes the withdrawal to the log, or keeps it until that can be written.
        certificate: Tells what was erased of a consent, once it is.
    """

    def __init__(
        self,
        store: ConsentStore,
        steps: UnwrittenSteps | None = None,
        certificate: Callable[[UUID], ErasureCertificate | None] | None = None,
    ) -> None:
        """Take codes for the consents of this log."""
        self._store = store
        self._steps = steps if steps is not None else UnwrittenSteps(store)
        self._certificate = certificate

    def take(self, scanned: str) -> CodeAnswer:
        """Withdraw the consent whose slip carries this code; asked again, tell how it stands.

        Raises:
            LedgerError: The log cannot be read; nothing is known of the code.
        """
        try:
            code = read_code(scanned)
        except ReceiptRefused:
            return CodeAnswer(Outcome.NO_CODE)
        record_id = self._store.find_by_code(code)
        if record_id is None:
            return CodeAnswer(Outcome.UNKNOWN)
        if State.WITHDRAWN in TRANSITIONS[self._store.state(record_id)]:
            try:
                self._steps.take(Step(record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, METHOD))
            except TransitionRefused as error:  # it ended in another way meanwhile
                _log.info("code_withdrawal_refused", record_id=str(record_id), reason=str(error))
        return self.status(record_id)

    def status(self, record_id: UUID) -> CodeAnswer:
        """Tell how a withdrawal stands.

        Raises:
            UnknownRecord: There is no such consent.
        """
        state = self._store.state(record_id)
        certificate = None if self._certificate is None else self._certificate(record_id)
        if state is State.WITHDRAWN:
            return CodeAnswer(Outcome.WITHDRAWN, record_id, certificate)
        waits = record_id in self._steps.records()
        return CodeAnswer(Outcome.WAITS if waits else Outcome.NOTHING, record_id, certificate)
