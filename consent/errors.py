"""What can go wrong around consent.

ConsentError
├── NotPermitted          media or a lease without a live grant
│   └── UnpermittedUnit   a device gave a unit of a purpose that was not granted
├── TransitionRefused     the state machine has no such step
├── AskedTwice            one session, one question
├── DecisionIncomplete    a purpose was left open, or somebody else answered
├── UnknownRecord         no such record in this log
├── NoticeError           a notice or its terms are missing or differ from what their hash says
├── PseudonymKeyError     the agency's key of pseudonyms cannot be used
├── ExportRefused         a document about a record is incomplete and was not made
├── LawSilent             the law in force sets no time for this
├── CalendarUnknown       the holidays of that year are not known
├── ErasureError
│   ├── ErasureIncomplete a store could not erase; nothing was certified
│   ├── CertificateRefused an erasure certificate does not hold
│   ├── KeyDestroyed      the key of a session is gone for good
│   └── KeysUnavailable   the session keys cannot be read or written now
└── LedgerError
    ├── LedgerUnavailable locked, disk full, not readable: nothing is permitted
    ├── LedgerCorrupt     tampered with, cut short, or another log's file
    ├── EntryRefused      a leaf is no entry of an edge's log
    ├── ReceiptRefused    a receipt is malformed or does not hold
    ├── ProofRefused      an inclusion or consistency proof does not hold
    ├── EntryTooLarge     an entry that does not fit a bundle of the log's export
    ├── TilesRefused      an exported log is not the one its checkpoint names
    ├── CheckpointRefused a signed note is malformed, forged or signed by nobody we know
    └── WitnessError      the folder of a witness cannot be used
        ├── CosignatureRefused  a witness does not cosign this checkpoint
        └── WitnessBehind       a witness knows the log at another size than was said
"""

from __future__ import annotations


class ConsentError(Exception):
    """Base of all errors of this package."""


class NotPermitted(ConsentError, PermissionError):  # noqa: N818 - named for what happened
    """There is no live consent for what was asked."""


class UnpermittedUnit(NotPermitted):
    """A device handed out a unit of a purpose that the citizen did not give."""


class TransitionRefused(ConsentError):  # noqa: N818 - named for what happened
    """The record is in a state from which this step does not exist."""


class AskedTwice(ConsentError):  # noqa: N818 - named for what happened
    """The citizen of this session was asked before."""


class DecisionIncomplete(ConsentError, ValueError):  # noqa: N818 - named for what happened
    """A decision must answer each purpose that was offered, and come from the citizen."""


class UnknownRecord(ConsentError, LookupError):  # noqa: N818 - named for what happened
    """The log holds no record of this id."""


class NoticeError(ConsentError):
    """A notice is missing, unreadable, or not the one that was shown."""


class ErasureError(ConsentError):
    """Base of what goes wrong around keys and their erasure."""


class ErasureIncomplete(ErasureError):  # noqa: N818 - named for what happened
    """A store could not erase; the erasure stays open and is tried again."""


class CertificateRefused(ErasureError, ValueError):  # noqa: N818 - named for what happened
    """An erasure certificate is not what the erasure key signed."""


class KeyDestroyed(ErasureError, LookupError):  # noqa: N818 - named for what happened
    """There is no key of this session any more."""


class KeysUnavailable(ErasureError, OSError):  # noqa: N818 - named for what happened
    """The file of the session keys cannot be used now."""


class PseudonymKeyError(ConsentError, OSError):
    """The key of pseudonyms is missing, damaged or readable by others."""


class ExportRefused(ConsentError):  # noqa: N818 - named for what happened
    """A document about a record would be incomplete, or no program here can make it."""


class LawSilent(ConsentError, LookupError):  # noqa: N818 - named for what happened
    """The law in force on that day sets no time for what was asked."""


class CalendarUnknown(ConsentError, ValueError):  # noqa: N818 - named for what happened
    """A deadline lies in a year whose holidays nobody here knows."""


class LedgerError(ConsentError):
    """Base of the errors of the consent log."""


class LedgerUnavailable(LedgerError, OSError):  # noqa: N818 - named for what happened
    """The log cannot be read or written now."""


class LedgerCorrupt(LedgerError):  # noqa: N818 - named for what happened
    """The log is not the one that was written."""


class ProofRefused(LedgerError):  # noqa: N818 - named for what happened
    """A proof does not show what it was given to show."""


class CheckpointRefused(LedgerError, ValueError):  # noqa: N818 - named for what happened
    """A checkpoint is malformed, or its signatures do not hold."""


class EntryTooLarge(LedgerError, ValueError):  # noqa: N818 - named for what happened
    """An entry is longer than the format of the log can say."""


class TilesRefused(LedgerError):  # noqa: N818 - named for what happened
    """A file of an exported log is missing, surplus or not what the checkpoint covers."""


class WitnessError(LedgerError):
    """The folder of a witness cannot be used, or the witness does not do what was asked."""


class CosignatureRefused(WitnessError):  # noqa: N818 - named for what happened
    """A witness does not cosign a checkpoint; `status` is what it says over HTTP."""

    def __init__(self, message: str, status: int) -> None:
        """Say why, and with which HTTP status."""
        super().__init__(message)
        self.status = status


class WitnessBehind(WitnessError):  # noqa: N818 - named for what happened
    """A witness knows the log at `size`, not at the size that the request named: ask again from there."""

    def __init__(self, size: int) -> None:
        """Keep the size at which the witness knows the log."""
        super().__init__(f"the witness knows this log at size {size}: send the consistency proof from there")
        self.size = size


class EntryRefused(LedgerError, ValueError):  # noqa: N818 - named for what happened
    """A leaf is no entry that an edge's log can hold."""


class ReceiptRefused(LedgerError, ValueError):  # noqa: N818 - named for what happened
    """A citizen's receipt is malformed, or is not the one that was given out."""
