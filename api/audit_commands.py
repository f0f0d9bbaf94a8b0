"""The commands of an audit: `hailong audit export` at the centre, `verify` and `proof` anywhere."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from tqdm import tqdm

from api.audit import Trust, verify
from api.audit_proof import check_entry
from api.continuity import check_continuity
from api.errors import ApiError
from api.signed_files import check_file
from consent.errors import ConsentError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from consent.checkpoint import WitnessedCheckpoint

audit = typer.Typer(
    name="audit",
    help="Export the log and verify an export with every figure.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_FAILED = 1


@audit.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="A new folder for the export.")],
    *,
    config: Annotated[
        Path | None,
        typer.Option("-c", "--config", help="Settings of the central service, as for 'hailong central run'."),
    ] = None,
    actor: Annotated[str, typer.Option(help="Who exports; the log will tell.")] = "operator",
) -> None:
    """Write both kinds of logs, the signals and the published figures into a folder."""
    from api.audit_export import Scope, export  # noqa: PLC0415 - a verifying auditor has no database
    from api.central_log import CentralLog  # noqa: PLC0415 - as above
    from api.command_context import open_database, settings_of  # noqa: PLC0415 - as above
    from api.trends import local_today  # noqa: PLC0415 - as above
    from api.witnesses import Witnesses  # noqa: PLC0415 - as above

    try:
        settings = settings_of(config)
        with open_database(config) as database, _Bars() as bars:
            log = CentralLog(database, settings.log_dir)
            done = export(
                log,
                Witnesses(log, settings.log),
                folder,
                Scope(settings.pages.minimum_n, local_today()),
                made_at=datetime.now(UTC),
                software=metadata.version("hailong"),
                actor=actor,
                progress=bars.tell,
            )
    except (ApiError, ConsentError) as error:
        _fail(str(error))
    typer.echo(
        f"{folder}: {done.log_entries} entries of the centre's log, {done.edges} logs of edges, "
        f"{done.signals} signals, figures of {done.months} months of counters. "
        f"Check it with: hailong audit verify {folder}"
    )


@audit.command("verify")
def verify_command(
    folder: Annotated[Path, typer.Argument(help="What 'hailong audit export' wrote.")],
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Public key of the centre's log that you have from elsewhere; may be repeated."),
    ] = None,
    witness: Annotated[
        list[str] | None, typer.Option(help="Public key of a witness; may be repeated.")
    ] = None,
    quorum: Annotated[int, typer.Option(min=1, help="How many witnesses must have cosigned.")] = 1,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            help="Signed checkpoint kept elsewhere, such as a witness's latest: the log must go on from it; "
            "may be repeated."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check an export without the centre: logs, witnesses, signals, sums, figures to the last digit."""
    try:
        notes = tuple(path.read_bytes() for path in known or ())
        trust = Trust(tuple(key or ()), tuple(witness or ()), quorum, notes)
        with _Bars() as bars:
            report = verify(folder, trust, progress=bars.tell)
    except OSError as error:
        _fail(f"{error.filename} cannot be read: {error.strerror}")
    except (ApiError, ConsentError) as error:
        _fail(str(error))
    if as_json:
        findings = [{"check": item.check, "ok": item.ok, "detail": item.detail} for item in report.findings]
        typer.echo(json.dumps({"ok": report.ok, "findings": findings}, ensure_ascii=False, indent=1))
    else:
        for item in report.findings:
            typer.echo(f"{'ok    ' if item.ok else 'FAILED'}  {item.check}: {item.detail}")
    if not report.ok:
        raise typer.Exit(_FAILED)


@audit.command("verify-file")
def verify_file_command(
    file: Annotated[Path, typer.Argument(help="A file out of an export of the privacy officer's pages.")],
    *,
    signature: Annotated[Path, typer.Option(help="The .sig beside it.")],
    key: Annotated[
        list[str], typer.Option(help="Export key as /log/keys of the centre shows it; may be repeated.")
    ],
) -> None:
    """Check one exported file against the signature beside it."""
    try:
        found = check_file(file.read_bytes(), signature.read_bytes(), key)
    except OSError as error:
        _fail(f"{error.filename} cannot be read: {error.strerror}")
    except ApiError as error:
        _fail(str(error))
    typer.echo(
        f"{file.name} is the file '{found.name}' that was signed at {found.at}. "
        f"Entry {found.index} of {found.origin} tells of it."
    )


@audit.command("verify-proof")
def verify_proof_command(
    proof: Annotated[Path, typer.Argument(help="Proof from the log's page: that nothing was altered.")],
    *,
    key: Annotated[list[str], typer.Option(help="Key of the centre's log from elsewhere; may be repeated.")],
) -> None:
    """Check, without the centre, that one state of its log continues an older one."""
    try:
        found = check_continuity(proof.read_bytes(), key)
    except OSError as error:
        _fail(f"{error.filename} cannot be read: {error.strerror}")
    except (ApiError, ConsentError) as error:
        _fail(str(error))
    whose = "signed as well" if found.old_signed else "its root only as the proof says: compare it"
    typer.echo(
        f"The {found.new.size} entries begin with the same {found.old.size}, byte for byte. "
        f"Newer state: signed by your key. Older state: {whose}."
    )


@audit.command("proof")
def proof_command(
    file: Annotated[Path, typer.Argument(help="Proof of one entry, from the entry's page.")],
    *,
    key: Annotated[list[str], typer.Option(help="Key of the centre's log from elsewhere; may be repeated.")],
    witness: Annotated[
        list[str] | None, typer.Option(help="Public key of a witness; may be repeated.")
    ] = None,
    quorum: Annotated[int, typer.Option(min=1, help="How many witnesses must have cosigned.")] = 1,
) -> None:
    """Check, without the centre, that one entry stands in its signed log, and print what it says."""
    try:
        found = check_entry(file.read_bytes(), key, witness or (), quorum=quorum)
    except OSError as error:
        _fail(f"{error.filename} cannot be read: {error.strerror}")
    except (ApiError, ConsentError) as error:
        _fail(str(error))
    checkpoint = found.witnessed.checkpoint
    typer.echo(
        f"Entry {found.index} stands in {checkpoint.origin}, below the checkpoint of {checkpoint.size} "
        f"entries that your key signed; {_seen_by(found.witnessed, named=bool(witness))}. "
        f"SHA-256 {found.leaf_hash.hex()}"
    )
    if found.entry is None:
        typer.echo("The file proves the hash only: compare it with the one in the report or the workbook.")
    else:
        typer.echo(json.dumps(found.told, ensure_ascii=False, indent=1))


def _seen_by(found: WitnessedCheckpoint, *, named: bool) -> str:
    if not named:
        return "no witness was asked for: whoever holds the key could have rewritten the log before"
    return f"cosigned by {', '.join(name for name, _ in found.witnesses)}"


class _Bars:
    """One progress bar for the part under way, on standard error."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None
        self._name = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def tell(self, name: str, done: int, total: int) -> None:
        """Show how far a part is."""
        if self._bar is None or name != self._name:
            self._close()
            slow = 0.2 if sys.stderr.isatty() else 10
            self._bar, self._name = tqdm(desc=name, total=total, file=sys.stderr, mininterval=slow), name
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _fail(message: str) -> NoReturn:
    typer.echo(f"hailong audit: {message}", err=True)
    raise typer.Exit(_FAILED)
