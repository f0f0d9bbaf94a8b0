"""The exception tree of the central program.

ApiError
├── SettingsInvalid      the settings file or the environment is wrong
├── PortTaken            another program listens on the address
├── PostgresError        the embedded PostgreSQL cannot be used
│   ├── PostgresMissing      no server binaries were found
│   ├── PostgresUnreachable  the unprivileged user cannot read what it needs
│   └── PostgresBusy         another program runs on the same data directory
├── DatabaseUnavailable  the database does not answer or cannot write
├── SchemaOutdated       the database is not at the newest migration
├── LogDamaged           the centre's log is not the one that was written
├── KeysUnusable         a key of the centre cannot be read, made or trusted
├── ErasurePending       a store cannot be cleared yet; it is tried again
├── RetentionInvalid     the settings keep something longer than may be, or name no category
├── ErasureFileDamaged   the list of erasures outside the database is not the one that was written
├── Refused              a request that is answered with a problem document
│   └── TokenRefused         a bearer token that is unknown or revoked
├── CaseRefused          an act on a request or breach that does not fit
│   └── TableRefused         a file of rows, an import or a sample that cannot be used as a whole
│       ├── DocumentUnreadable   what should be a JSON document of rows is none
│       ├── ImportRunning        another import of ballots runs at this moment
│       └── ImportedBefore       this very file or body was imported before
├── ReceiptNotWitnessed  the witnesses have not seen the answer of a receipt yet
├── ExportRefused        an audit export cannot be made or read
└── EnrolmentError       an enrolment that cannot be made
"""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID


class ApiError(Exception):
    """Base of all errors of the central program."""


class SettingsInvalid(ApiError, ValueError):  # noqa: N818 - named for what happened
    """The settings are wrong; the message names file and key."""


class PortTaken(ApiError, OSError):  # noqa: N818 - named for what happened
    """The address is in use by another program."""


class PostgresError(ApiError, RuntimeError):
    """The embedded PostgreSQL cannot be used."""


class PostgresMissing(PostgresError, FileNotFoundError):  # noqa: N818 - named for what happened
    """No PostgreSQL binaries were found."""


class PostgresUnreachable(PostgresError, PermissionError):  # noqa: N818 - named for what happened
    """The unprivileged user cannot enter a directory that the server needs."""


class PostgresBusy(PostgresError):  # noqa: N818 - named for what happened
    """Another program holds the data directory."""


class DatabaseUnavailable(ApiError, ConnectionError):  # noqa: N818 - named for what happened
    """The database does not answer or cannot write; nothing was acknowledged."""


class SchemaOutdated(ApiError, RuntimeError):  # noqa: N818 - named for what happened
    """The database is not at the newest migration."""


class LogDamaged(ApiError, RuntimeError):  # noqa: N818 - named for what happened
    """The centre's log was altered or cut short; nothing more is written to it."""


class ErasurePending(ApiError, RuntimeError):  # noqa: N818 - named for what happened
    """A store of an erasure cannot be cleared now; the erasure is not complete and is tried again."""


class RetentionInvalid(ApiError, ValueError):  # noqa: N818 - named for what happened
    """The settings of the retention are wrong; the message names the category."""


class ErasureFileDamaged(ApiError, RuntimeError):  # noqa: N818 - named for what happened
    """The list of erasures that outlives the database was altered."""


class KeysUnusable(ApiError, OSError):  # noqa: N818 - named for what happened
    """A key file of the centre cannot be read or written, or is not the log's."""


class CaseRefused(ApiError, ValueError):  # noqa: N818 - named for what happened
    """An act on a request or a breach that does not fit; the message is for the person at the form.

    Attributes:
        text: The message with names in braces, as the catalogues of the pages know it.
        values: What stands for the names.
    """

    def __init__(self, text: str, **values: object) -> None:
        """Keep both, so that a page can say it in its own language."""
        super().__init__(text.format(**values))
        self.text = text
        self.values = values


class TableRefused(CaseRefused):
    """A file of rows, an import or a sample that cannot be used as a whole; nothing of it was kept."""


class DocumentUnreadable(TableRefused):
    """What should be a JSON document of rows is no JSON; nothing of it was kept."""


class ImportRunning(TableRefused):
    """Another import of ballots runs at this moment: repeat this one later."""


class ImportedBefore(TableRefused):
    """This very file or body was imported before and not withdrawn.

    Attributes:
        import_id: As what it was imported.
    """

    def __init__(self, text: str, import_id: UUID) -> None:
        """Keep the import; the message names it as `id`."""
        super().__init__(text, id=import_id)
        self.import_id = import_id


class EnrolmentError(ApiError, ValueError):
    """A counter, token, edge or source system that cannot be enrolled or revoked."""


class Refused(ApiError):  # noqa: N818 - named for what happened
    """A request the service answers with an RFC 9457 problem document.

    Attributes:
        status: HTTP status of the answer.
        kind: Last part of the problem's type, a stable code for programs.
        detail: What happened and what to do next, for people.
        extra: Further members of the problem document.
    """

    def __init__(self, status: HTTPStatus, kind: str, detail: str, **extra: object) -> None:
        """Keep what the problem document will say."""
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.extra = extra


class TokenRefused(Refused):
    """A bearer token that is missing, unknown or revoked: 401, the same for each."""


class ReceiptNotWitnessed(ApiError, LookupError):  # noqa: N818 - named for what happened
    """The witnesses have not seen the part of the log with this answer yet; ask again later."""


class ExportRefused(ApiError, ValueError):  # noqa: N818 - named for what happened
    """An audit export cannot be made, or a folder is none."""
