"""Commands of the edge program: `hailong edge …`."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar
from uuid import UUID

import structlog
import typer
from tqdm import tqdm

from capture.config import EdgeConfig, load_config, parse_config
from capture.errors import CaptureError
from capture.faults import exception_without_words, leave_no_core_file
from consent.entry import ReadPurpose
from consent.errors import ConsentError
from consent.purpose import Purpose

if TYPE_CHECKING:
    from capture.consent_script import ConsentScript
    from capture.door import LocalSecret
    from capture.replay import Replayed
    from capture.source import MediaUnit
    from consent.gate import Permitted

edge = typer.Typer(
    name="edge",
    help="Run the edge program: capture, kiosk, outbox, uplink.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The edge's configuration file.")]
_USAGE_ERROR = 2
_Secret = TypeVar("_Secret", bound="LocalSecret")


@edge.command()
def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("edge.toml"),
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Ask for the devices of this edge and write its configuration."""
    from capture.setup import ask_config  # noqa: PLC0415 - only asked once in the life of an edge

    if path.exists() and not force:
        _fail(f"{path} exists already; name another file or add --force", _USAGE_ERROR)
    text = ask_config()
    try:
        parse_config(text, path)
        path.write_text(text, encoding="utf-8")
    except CaptureError as error:
        _fail(f"nothing was written, because an answer cannot be used: {error}", _USAGE_ERROR)
    except OSError as error:
        _fail(f"{path} cannot be written: {error.strerror}; name another file", _USAGE_ERROR)
    typer.echo(f"Wrote {path}. Check it any time with: hailong edge check-config -c {path}")


@edge.command("check-config")
def check_config(config: ConfigOption = Path("edge.toml")) -> None:
    """Check a configuration file without opening any device."""
    settings = _checked(config)
    typer.echo(
        f"{config}: good, {len(settings.counters)} counter(s): {', '.join(c.code for c in settings.counters)}"
    )
    if settings.consent.quotes:
        typer.echo(
            "citizens are also asked if redacted quotes may be kept, "
            f"for {settings.consent.quotes_days} day(s)"
        )


@edge.command()
def enrol(
    config: ConfigOption = Path("edge.toml"),
    *,
    token: Annotated[str, typer.Option(help="One-time token from an administrator.", prompt=True)],
) -> None:
    """Make this edge known at the centre with a one-time token."""
    from capture.identity import enrol as enrol_edge  # noqa: PLC0415 - needs the network library
    from capture.worker import open_data_folder  # noqa: PLC0415 - as above

    settings = _checked(config)
    if settings.centre is None:
        _fail(f"{config} has no [centre] url to enrol at", _USAGE_ERROR)
    try:
        enrolment = enrol_edge(
            open_data_folder(settings.data_dir), centre=settings.centre.url, token=token, name=settings.name
        )
    except CaptureError as error:
        _fail(str(error))
    typer.echo(f"Enrolled as {enrolment.edge} for {', '.join(enrolment.counters)}.")


@edge.command("rotate-key")
def rotate_key_command(config: ConfigOption = Path("edge.toml")) -> None:
    """Sign with a new key from now on; receipts and checkpoints of the old one stay valid. Stop the edge."""
    from capture.identity import load_enrolment  # noqa: PLC0415 - needs the network library
    from capture.key_rotation import rotate_key  # noqa: PLC0415 - as above
    from capture.lock import DataFolderLock  # noqa: PLC0415 - as above
    from capture.unwritten import UnwrittenSteps  # noqa: PLC0415 - as above
    from capture.worker import CONSENT_LOG, UNWRITTEN, open_data_folder  # noqa: PLC0415 - loads the networks

    settings = _checked(config)
    try:
        folder = open_data_folder(settings.data_dir)
        with DataFolderLock(folder):
            keys = rotate_key(
                folder,
                folder / CONSENT_LOG,
                load_enrolment(folder) if settings.centre is not None else None,
                steps_of=lambda store: UnwrittenSteps(store, folder / UNWRITTEN),
            )
    except (CaptureError, ConsentError) as error:
        _fail(str(error))
    for period in keys.periods:
        until = "" if period.until_size is None else f" until {period.until_size}"
        typer.echo(f"from {period.from_size}{until}: {period.vkey}")


RenewOption = Annotated[
    bool, typer.Option("--renew", help="Make a new secret: whoever holds the old one needs the new one.")
]
PortOption = Annotated[
    int | None, typer.Option(help="Port that the running program printed, where it took a free one.")
]


@edge.command("officer-link")
def officer_link(
    config: ConfigOption = Path("edge.toml"), *, renew: RenewOption = False, port: PortOption = None
) -> None:
    """Print the link that opens the officer's pages on the officer's tablet; it holds a secret."""
    from capture.officer import OfficerSecret  # noqa: PLC0415 - loads the page server's libraries

    settings = _checked(config)
    typer.echo(_secret(OfficerSecret, settings, renew=renew).link(_page_url(settings, port, officer=True)))


@edge.command("kiosk-link")
def kiosk_link(
    config: ConfigOption = Path("edge.toml"), *, renew: RenewOption = False, port: PortOption = None
) -> None:
    """Print the link that opens the citizen's screen, one for each counter; it holds a secret."""
    from capture.kiosk import KioskSecret  # noqa: PLC0415 - loads the page server's libraries

    settings = _checked(config)
    url = _page_url(settings, port, officer=False)
    secret = _secret(KioskSecret, settings, renew=renew)
    live = [counter.code for counter in settings.counters if not counter.playlist]
    for code in live or [""]:
        typer.echo(secret.link(url) + (f"&counter={code}" if len(live) > 1 else ""))


@edge.command("metrics-token")
def metrics_token(config: ConfigOption = Path("edge.toml"), *, renew: RenewOption = False) -> None:
    """Print the token that opens the details of the health page and the metrics, for Prometheus."""
    from capture.monitor import MetricsToken  # noqa: PLC0415 - loads the page server's libraries

    typer.echo(_secret(MetricsToken, _checked(config), renew=renew).token())


@edge.command()
def run(config: ConfigOption = Path("edge.toml")) -> None:
    """Run this edge until it is stopped with Ctrl-C or SIGTERM."""
    from capture.worker import EdgeWorker  # noqa: PLC0415 - loads the networks' libraries
    from models.errors import ModelError  # noqa: PLC0415 - as above

    settings = _checked(config)
    log_as_json()
    leave_no_core_file()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with EdgeWorker(settings) as worker:
            where = "playlists only"
            if worker.kiosk is not None and worker.officer is not None:
                where = f"kiosk at {worker.kiosk.url}, officer's page at {worker.officer.url}"
            typer.echo(f"edge '{settings.name}' is ready: {where}", err=True)
            worker.run(stop)
            worker.drain(0 if stop.is_set() else 60)
    except (CaptureError, ConsentError, ModelError) as error:
        _fail(str(error))


@edge.command("quotes")
def quotes_command(
    record: Annotated[UUID, typer.Argument(help="Number of the consent record, as on the slip.")],
    *,
    reason: Annotated[ReadPurpose, typer.Option(help="Why you read them; stands in the log.")],
    ticket: Annotated[str, typer.Option(help="Number of the case, such as YC-2026/0142; stands in the log.")],
    reader: Annotated[str, typer.Option(help="Your code, such as dpo-1; stands in the log.")],
    config: ConfigOption = Path("edge.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read the redacted quotes that a citizen let be kept; the reading is logged before they are opened."""
    from capture.outbox import SESSION_KEYS  # noqa: PLC0415 - only the privacy officer needs these
    from capture.quotes_command import (  # noqa: PLC0415 - as above
        DataFiles,
        Reader,
        as_lines,
        read_quotes,
    )
    from capture.quotes_command import as_json as in_json  # noqa: PLC0415 - as above
    from capture.worker import CONSENT_LOG, UNWRITTEN  # noqa: PLC0415 - loads the networks' libraries
    from inference.errors import InferenceError  # noqa: PLC0415 - as above

    quiet_logs()
    settings = _checked(config)
    files = DataFiles(CONSENT_LOG, SESSION_KEYS, UNWRITTEN)
    try:
        who = Reader(reader, reason, ticket)
        kept = read_quotes(settings.data_dir, files, record, who, days=settings.consent.quotes_days)
    except (CaptureError, ConsentError, InferenceError) as error:
        _fail(str(error))
    typer.echo(in_json(record, kept) if as_json else as_lines(kept))


@edge.command("replay")
def replay_command(
    media: Annotated[list[Path], typer.Argument(help="Recordings to read.")],
    *,
    consent: Annotated[
        str | None,
        typer.Option(
            help="Purposes that were consented to, such as image,voice; else the file beside each recording."
        ),
    ] = None,
    channel: Annotated[
        str, typer.Option(help="Channel of the citizen's microphone: left, right or only.")
    ] = "left",
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="An edge's configuration, whose networks are taken."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read recordings without any server and print their signals."""
    from capture.consent_script import load_consent_script  # noqa: PLC0415 - as above
    from capture.networks import load_networks  # noqa: PLC0415 - loads the networks' libraries
    from capture.replay import replay, replay_counter  # noqa: PLC0415 - as above
    from capture.worker import SOFTWARE  # noqa: PLC0415 - as above
    from models.errors import ModelError  # noqa: PLC0415 - as above
    from models.registry import Registry  # noqa: PLC0415 - as above

    quiet_logs()
    if channel not in {"left", "right", "only"}:
        _fail(f"--channel is left, right or only, not '{channel}'", _USAGE_ERROR)
    given = None if consent is None else _script(consent)
    settings = None if config is None else _checked(config)
    results = []
    try:
        scripts = [given or load_consent_script(path) for path in media]
        perception = load_networks(Registry.default(), settings)
        try:
            counter = replay_counter().model_copy(update={"citizen_channel": channel})
            for path, script in zip(media, scripts, strict=True):
                with tqdm(
                    desc=path.name,
                    unit=" units",
                    file=sys.stderr,
                    mininterval=0.2 if sys.stderr.isatty() else 10,
                ) as bar:
                    progress = partial(_advance, bar)
                    results.append(
                        replay(path, script, perception, counter=counter, software=SOFTWARE, on_unit=progress)
                    )
        finally:
            perception.close()
    except (CaptureError, ConsentError, ModelError) as error:
        _fail(str(error))
    if as_json:
        typer.echo(json.dumps({"sessions": [result.to_json() for result in results]}, ensure_ascii=False))
    else:
        for result in results:
            typer.echo(f"{result.media}: {_sentence(result.to_json())}")
    if channel != "only":
        for result in results:
            _explain_unheard(result)
    errors = [f"{result.media}: {result.error}" for result in results if result.error]
    if errors:
        _fail("\n".join(errors))


@edge.command("inspect")
def inspect_command(
    media: Annotated[Path, typer.Argument(help="Recording that is test media, its consent file beside it.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; empty or absent.")],
    seat_zone: Annotated[
        str | None,
        typer.Option(help="Corners of the seat, as '0.2,0 0.8,0 0.8,1 0.2,1' (shares of the frame)."),
    ] = None,
    channel: Annotated[
        str, typer.Option(help="Channel of the citizen's microphone: left, right or only.")
    ] = "left",
    language: Annotated[str, typer.Option(help="Language on the pictures: vi or en.")] = "vi",
    clear_test_media: Annotated[
        bool,
        typer.Option("--clear-test-media", help="Show faces; for recordings that say they are synthetic."),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="An edge's configuration, whose networks are taken."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read a recording; write pictures with boxes, a timeline of valence with its band, and every figure."""
    from capture.inspection import (  # noqa: PLC0415 - loads the networks' libraries
        InspectionRequest,
        counter_of,
        inspect,
    )
    from capture.worker import SOFTWARE  # noqa: PLC0415 - as above
    from models.errors import ModelError  # noqa: PLC0415 - as above
    from models.registry import Registry  # noqa: PLC0415 - as above

    quiet_logs()
    try:
        counter = counter_of(seat_zone, channel)
    except CaptureError as error:
        _fail(str(error), _USAGE_ERROR)
    settings = None if config is None else _checked(config)
    request = InspectionRequest(media, out, counter, language, clear_test_media, settings)
    try:
        with tqdm(
            desc=media.name, unit=" units", file=sys.stderr, mininterval=0.2 if sys.stderr.isatty() else 10
        ) as bar:
            figures = inspect(request, Registry.default(), software=SOFTWARE, on_unit=partial(_advance, bar))
    except (CaptureError, ConsentError, ModelError) as error:
        _fail(str(error))
    if as_json:
        typer.echo(json.dumps(figures, ensure_ascii=False))
    else:
        typer.echo(f"{media}: {_sentence(figures)}")
        typer.echo(f"open {out / 'index.html'}" if "files" in figures else f"no picture; see {out}")
    if figures["error"]:
        _fail(f"{media}: {figures['error']}")


def _to_standard_error(*_: object) -> structlog.PrintLogger:
    """Make a logger of the stream as it is now: who replaces it may close the one before."""
    return structlog.PrintLogger(sys.stderr)


def log_as_json() -> None:
    """Write one JSON object a line to standard error; events never hold payloads."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            exception_without_words,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_to_standard_error,
    )


def quiet_logs() -> None:
    """Leave the screen to progress and results: only errors are logged."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            exception_without_words,
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=_to_standard_error,
    )


def _script(consent: str) -> ConsentScript:
    from capture.consent_script import ConsentScript  # noqa: PLC0415 - only needed by replay

    names = [name.strip() for name in consent.split(",") if name.strip()]
    known = {Purpose.IMAGE.value, Purpose.VOICE.value}
    unknown = sorted(set(names) - known)
    if unknown or not names:
        _fail(f"--consent names purposes out of {', '.join(sorted(known))}; got '{consent}'", _USAGE_ERROR)
    return ConsentScript(
        decision="given", purposes=frozenset(Purpose(name) for name in names), decides_after_s=0
    )


def _sentence(result: dict[str, object]) -> str:
    found = result["signal"]
    if not isinstance(found, dict):
        return f"consent {result['consent']}, no signal"
    overall = found["overall"]
    if overall["abstained"]:
        return f"consent {result['consent']}, abstains: {overall['abstained']}"
    return (
        f"consent {result['consent']}, uncalibrated signal {overall['score']:.2f} "
        f"({overall['low']:.2f}-{overall['high']:.2f})"
    )


def _explain_unheard(result: Replayed) -> None:
    """Say why nothing was understood where all speech was dropped as nobody's."""
    quality = result.signal.quality if result.signal is not None else None
    if quality is not None and not quality.utterances and quality.dropped_s >= 1:
        typer.echo(
            f"hailong: {result.media}: {quality.dropped_s:.1f} s of speech were dropped, because "
            "nobody can say who speaks. Where the microphone hears the citizen alone, add --channel only.",
            err=True,
        )


def _advance(bar: tqdm[NoReturn], counter: str, unit: Permitted[MediaUnit]) -> None:
    del counter, unit
    bar.update()


def _secret(kind: type[_Secret], settings: EdgeConfig, *, renew: bool) -> _Secret:
    from capture.worker import open_data_folder  # noqa: PLC0415 - loads the networks' libraries

    try:
        return kind(open_data_folder(settings.data_dir), renew=renew)
    except CaptureError as error:
        _fail(str(error))


def _page_url(settings: EdgeConfig, port: int | None, *, officer: bool) -> str:
    kiosk = settings.kiosk
    port = port or (kiosk.port_of_officer if officer else kiosk.port)
    if not port:
        _fail(
            "these pages take a free port: add --port with the one that 'edge run' printed",
            _USAGE_ERROR,
        )
    host = f"[{kiosk.host}]" if ":" in kiosk.host else kiosk.host
    return f"http://{host}:{port}"


def _checked(path: Path) -> EdgeConfig:
    try:
        return load_config(path)
    except CaptureError as error:
        _fail(str(error), _USAGE_ERROR)


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"hailong: {message}", err=True)
    raise typer.Exit(code)
