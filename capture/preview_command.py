"""The command `hailong preview`: aim a camera and draw the seat, with nobody recognisable."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from capture.config import EdgeConfig, load_config
from capture.errors import CaptureError
from consent.entry import LONGEST_MAINTENANCE_S, MaintenanceEnd
from consent.errors import ConsentError

if TYPE_CHECKING:
    from capture.config import CounterConfig
    from capture.preview import Preview
    from consent.ledger import ConsentStore
    from inference.anonymizer import Anonymizer

_USAGE_ERROR: Final = 2
_FAREWELL_S: Final = 3.0
"""The page asks every second how the preview stands: it shows the end before it is gone."""
_ENDS: Final = {
    MaintenanceEnd.TIME: "the time is up",
    MaintenanceEnd.STOPPED: "stopped",
    MaintenanceEnd.UNWATCHED: "nobody watched for a minute",
    MaintenanceEnd.DEVICE: "the camera ended",
    MaintenanceEnd.FAILED: "a fault of this program",
    MaintenanceEnd.UNFINISHED: "killed",
}

preview = typer.Typer(
    name="preview",
    help="Show an installer a camera with every face covered.",
    pretty_exceptions_enable=False,
)


class Style(StrEnum):
    """How faces are covered."""

    MASK = "mask"
    DRAWING = "drawing"


class PreviewRefused(CaptureError):  # noqa: N818 - named for what happened
    """There is no preview here; the message says why."""


@preview.callback(invoke_without_command=True)
def preview_command(
    config: Annotated[Path, typer.Option("--config", "-c", help="The edge's configuration file.")] = Path(
        "edge.toml"
    ),
    *,
    counter: Annotated[str, typer.Option(help="Code of the counter whose camera is shown.")],
    operator: Annotated[
        str, typer.Option(help="Code of whoever looks, as nv-07: it goes into the consent log.")
    ],
    style: Annotated[Style, typer.Option(help="How faces are covered.")] = Style.MASK,
    minutes: Annotated[
        int, typer.Option(min=1, max=LONGEST_MAINTENANCE_S // 60, help="When the camera is closed.")
    ] = 15,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 0,
) -> None:
    """Show an installer a camera with every face covered, while the edge program is stopped.

    Start and end are entries of the consent log. Nothing is analysed, recorded or kept; the microphone
    stays closed. Needs `enabled = true` under [preview] in the configuration.
    """
    try:
        settings = load_config(config)
        chosen = allowed_counter(settings, counter)
    except CaptureError as error:
        _fail(str(error), _USAGE_ERROR)
    from models.errors import ModelError  # noqa: PLC0415 - loads the networks' libraries

    try:
        _serve(settings, chosen, operator=operator, style=style, minutes=minutes, port=port)
    except (CaptureError, ConsentError, ModelError) as error:
        _fail(str(error))


def allowed_counter(settings: EdgeConfig, code: str) -> CounterConfig:
    """Return the counter whose camera may be shown.

    Raises:
        PreviewRefused: Previews are off, there is no such counter, or it has no camera.
    """
    if not settings.preview.enabled:
        raise PreviewRefused(
            "previews are off at this edge: set 'enabled = true' under [preview] in its configuration "
            "while the camera is installed, and take it out again afterwards"
        )
    found = next((item for item in settings.counters if item.code == code), None)
    if found is None:
        raise PreviewRefused(
            f"there is no counter '{code}' here; there is: {', '.join(c.code for c in settings.counters)}"
        )
    if found.camera is None:
        raise PreviewRefused(f"counter '{code}' has no camera to show")
    return found


def _serve(
    settings: EdgeConfig, counter: CounterConfig, *, operator: str, style: Style, minutes: int, port: int
) -> None:
    from capture.commands import log_as_json  # noqa: PLC0415 - as above
    from capture.counter import seat_zone  # noqa: PLC0415 - as above
    from capture.faults import leave_no_core_file  # noqa: PLC0415 - as above
    from capture.preview import Preview  # noqa: PLC0415 - as above
    from capture.preview_page import PreviewSecret, PreviewServer  # noqa: PLC0415 - as above
    from capture.sources import open_source  # noqa: PLC0415 - as above

    log_as_json()
    leave_no_core_file()  # a clear picture is in memory until it is masked
    with ExitStack() as stack:
        store = _open_log(stack, settings)
        anonymizer = _anonymizer(style, settings.threads)
        assert counter.camera is not None  # noqa: S101 - narrows for mypy: looked at by allowed_counter
        shown = Preview(
            # Opened without reconnecting: a camera that broke off says so.
            open_source(counter.camera, paced=True),
            store,
            anonymizer,
            seat_zone(counter),
            counter=counter.code,
            operator=operator,
            limit_s=minutes * 60,
        )
        secret = PreviewSecret(settings.data_dir, renew=True)
        server = stack.enter_context(PreviewServer(shown, secret, host=settings.kiosk.host, port=port))
        _run(shown, server.link, counter.code, minutes)


def _open_log(stack: ExitStack, settings: EdgeConfig) -> ConsentStore:
    """Open the consent log as the edge program would, and hold its folder so that this does not run."""
    from capture.capture_hold import CaptureHold  # noqa: PLC0415 - loads the networks' libraries
    from capture.identity import EdgeKey, load_enrolment  # noqa: PLC0415 - as above
    from capture.key_rotation import finish_rotation  # noqa: PLC0415 - as above
    from capture.lock import DataFolderLock  # noqa: PLC0415 - as above
    from capture.log_uplink import LogUplink  # noqa: PLC0415 - as above
    from capture.unwritten import UnwrittenSteps  # noqa: PLC0415 - as above
    from capture.worker import (  # noqa: PLC0415 - as above
        CAPTURE_STOPPED,
        CONSENT_LOG,
        UNWRITTEN,
        open_data_folder,
    )
    from consent.ledger import ConsentStore  # noqa: PLC0415 - as above

    folder = open_data_folder(settings.data_dir)
    stack.enter_context(DataFolderLock(folder))
    finish_rotation(folder, folder / CONSENT_LOG)
    key = EdgeKey.load_or_make(folder)
    store = stack.enter_context(
        ConsentStore(folder / CONSENT_LOG, signers=lambda origin: (key.signer(origin),))
    )
    hold = CaptureHold(folder / CAPTURE_STOPPED, lambda _: None)
    enrolment = load_enrolment(folder) if settings.centre is not None else None
    if enrolment is not None:  # a folder from a backup must not add to its old log
        uplink = LogUplink(
            store=store,
            key=key,
            enrolment=enrolment,
            steps=UnwrittenSteps(store, folder / UNWRITTEN),
            hold=hold,
        )
        uplink.first_contact()
        stack.callback(uplink.first_contact)  # the centre hears of the preview, or with the next start
    if hold.reason is not None:
        raise PreviewRefused(f"no device is opened at this edge: {hold.reason}")
    return store


def _anonymizer(style: Style, threads: int) -> Anonymizer:
    from inference.anonymizer import Anonymizer, AnonymizerConfig  # noqa: PLC0415 - loads the libraries
    from inference.face_search import load_face_searches  # noqa: PLC0415 - as above
    from models.registry import Registry  # noqa: PLC0415 - as above

    searches = load_face_searches(Registry.default(), slow=False, threads=threads)
    return Anonymizer.of(searches, AnonymizerConfig(style=style.value))


def _run(shown: Preview, link: str, counter: str, minutes: int) -> None:
    """Show it from a thread of its own, so that Ctrl-C is heard here."""
    failed: list[Exception] = []

    def show() -> None:
        try:
            shown.run()
        except Exception as error:  # noqa: BLE001 - raised again where the command ends
            failed.append(error)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: shown.stop())
    thread = threading.Thread(target=show, name=f"preview-{counter}", daemon=True)
    thread.start()
    typer.echo(f"preview of {counter} for {minutes} min; open this link on this machine:", err=True)
    typer.echo(link)
    shown.ended.wait()
    thread.join()
    if failed:
        raise failed[0]
    state = shown.state()
    threading.Event().wait(_FAREWELL_S)
    why = _ENDS[state.ended_by or MaintenanceEnd.FAILED]
    if state.error:
        raise CaptureError(f"the preview ended: {state.error}")
    typer.echo(f"the preview ended: {why}; {state.frames} pictures were shown, none was kept", err=True)


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"hailong: {message}", err=True)
    raise typer.Exit(code)
