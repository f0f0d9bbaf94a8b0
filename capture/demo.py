"""The demo: sample counters stream through the whole system, on this machine only.

A real RTSP server plays the sample recordings; the edge program reads them behind the
consent gate, counter by counter in parallel; a central program in a process of its own
takes the signals into a real PostgreSQL and serves the supervisors' page.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import time
import tomllib
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.live import Live

from capture.commands import quiet_logs
from capture.config import EdgeConfig
from capture.demo_centre import Centre, remove_left_database
from capture.demo_screen import DemoSession, Screen, figure, final_rows, results_table
from capture.demo_witness import DemoWitness
from capture.errors import CaptureError
from capture.identity import enrol
from capture.rtsp_server import RtspMediaServer
from capture.worker import EdgeWorker, Listeners, open_data_folder
from consent.errors import ConsentError
from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

demo = typer.Typer(
    name="demo", help="Stream the sample counters through the whole system.", pretty_exceptions_enable=False
)

SAMPLES: Final = Path(__file__).resolve().parents[1] / "samples"
_REFRESH_HZ: Final = 4
_LOCK: Final = ".hailong-demo"
_CENTRE: Final = "centre"
_EDGE: Final = "edge"
_WITNESS: Final = "witness"
_EXPORT: Final = "audit"
_OURS: Final = (_CENTRE, _EDGE, _WITNESS, _EXPORT)
_CENTRE_GONE: Final = "the centre ended by itself; centre/central.log in the demo's folder says why"
LABEL: Final = (
    "SYNTHETIC: rendered CC0 MakeHuman head, Kokoro-82M (Apache-2.0) synthetic Vietnamese with an accent; "
    "no real person; numbers invented."
)


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: a person's wish, which no `except Exception` on the way may swallow.

    Attributes:
        status: The exit status that says so.
    """

    def __init__(self, number: int) -> None:
        """Keep the number of the signal."""
        super().__init__(number)
        self.status = 128 + number


@demo.callback(invoke_without_command=True)
def run_demo(
    samples: Annotated[Path, typer.Option(help="Folder with sessions.toml.")] = SAMPLES,
    folder: Annotated[
        Path, typer.Option(help="Where the demo keeps its data: a new folder, or an earlier demo's.")
    ] = Path(".run/demo"),
) -> None:
    """Stream the sample counters through the whole system until Ctrl-C (or DEMO_EXIT=1)."""
    quiet_logs()
    # Long lines are left whole in a pipe; a terminal wraps them between words.
    console = Console(
        highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 150
    )
    try:
        plan = read_plan(samples)
        with _stopping_in_order(), emptied(folder.resolve()) as own:
            _run(console, plan, own, stay=os.environ.get("DEMO_EXIT", "") in {"", "0"})
    except Stopped as stopped:
        raise typer.Exit(stopped.status) from None
    except (CaptureError, ConsentError, ModelError) as error:
        typer.echo(f"hailong demo: {error}", err=True)
        raise typer.Exit(1) from error


def read_plan(samples: Path) -> list[DemoSession]:
    """Read `sessions.toml` of the samples.

    Raises:
        CaptureError: The samples are not there, as in an installation without the checkout.
    """
    path = samples / "sessions.toml"
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))["session"]
    except FileNotFoundError as error:
        raise CaptureError(
            f"{path} is not there: run the demo in a checkout, or name the folder with --samples"
        ) from error
    return [
        DemoSession(item["name"], item["counter"], samples / item["media"], samples / item["consent"])
        for item in listed
    ]


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """Give a demo its folder to itself, without what an earlier demo left in it.

    Raises:
        CaptureError: The folder holds something else, cannot be written, or another demo runs in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = sorted({child.name for child in folder.iterdir()} - {*_OURS, _LOCK})
        if foreign:
            raise CaptureError(
                f"{folder} holds files that no demo made ({foreign[0]}): name a new folder with --folder"
            )
        lock = (folder / _LOCK).open("w", encoding="utf-8")
    except OSError as error:
        raise CaptureError(
            f"the demo's folder {folder} cannot be used ({error.strerror}): name another with --folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CaptureError(
                f"another demo runs in {folder}: end it with Ctrl-C, or name another folder with --folder"
            ) from error
        remove_left_database(folder / _CENTRE)
        for name in _OURS:
            shutil.rmtree(folder / name, ignore_errors=True)
        yield folder


@contextmanager
def _stopping_in_order() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one exception, so that everything that was started is stopped once."""

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)  # stopping is under way; it is bounded
        raise Stopped(number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _saying_so(console: Console) -> Iterator[None]:
    """Say that stopping takes a moment."""
    try:
        yield
    except Stopped:
        console.print("\nstopping: sessions, database, pages …")
        raise


def _run(console: Console, plan: Sequence[DemoSession], folder: Path, *, stay: bool) -> None:
    began = time.monotonic()
    console.print(LABEL)
    counters = sorted({item.counter for item in plan})
    screen = Screen(console, plan)
    console.print("starting the centre (PostgreSQL, migrations, pages) …")
    with (
        DemoWitness(folder / _WITNESS) as witness,
        Centre(folder / _CENTRE, (witness.url, witness.vkey)) as centre,
        RtspMediaServer({item.name: item.media for item in plan}) as rtsp,
    ):
        console.print(f"centre ready at {centre.address}; {len(counters)} counters stream over RTSP")
        keys = centre.log_keys()
        witness.follow(keys)
        config = edge_config(plan, rtsp, folder, centre.address)
        enrol(
            open_data_folder(config.data_dir),
            centre=centre.address,
            token=centre.token(counters),
            name=config.name,
        )
        listeners = Listeners(unit=screen.saw_unit, state=screen.saw_state, item=screen.saw_item)
        console.print("loading models …")
        with EdgeWorker(config, listeners) as worker, _saying_so(console):
            _watch(console, screen, worker, centre)
            if not worker.drain(60):
                raise CaptureError(
                    "the centre did not confirm every signal within a minute; "
                    f"its log is {folder / _CENTRE / 'central.log'}"
                )
            arrived = {item["session_id"]: item for item in centre.arrivals()}
            if not worker.ship_log(60):
                raise CaptureError(
                    "the centre did not take the whole log within a minute; "
                    f"its own log is {folder / _CENTRE / 'central.log'}"
                )
        console.print(results_table(plan, screen.results, arrived, width=console.width))
        if screen.first_figure_s is not None:
            console.print(
                f"first figure {screen.first_figure_s:.0f} s after the start, "
                f"everything {time.monotonic() - began:.0f} s"
            )
        console.print(
            "These figures are uncalibrated signals of invented sessions: no share of satisfied people, "
            "and not SIPAS."
        )
        console.print("what an auditor finds in an export of the log (hailong audit verify):")
        findings = centre.audit(folder / _EXPORT, keys)
        for item in findings:
            console.print(f"  {'ok' if item['ok'] else 'FAILED'}  {item['check']}: {item['detail']}")
        if not all(item["ok"] for item in findings):
            raise CaptureError("the export does not verify: see above")
        if stay:
            _stay(console, centre)
            return
    typer.echo(json.dumps({"sessions": final_rows(plan, screen.results, arrived)}, ensure_ascii=False))


def _stay(console: Console, centre: Centre) -> None:
    """Keep the page up until Ctrl-C, which is then the ordinary end."""
    console.print(
        f"\nThe supervisors' page: {centre.address}  user: admin, one-time password: {centre.password}"
    )
    console.print("Ctrl-C ends the demo.")
    try:
        with _saying_so(console):
            while centre.runs():
                time.sleep(0.5)
    except Stopped:
        return
    raise CaptureError(_CENTRE_GONE)


def edge_config(plan: Sequence[DemoSession], rtsp: RtspMediaServer, folder: Path, centre: str) -> EdgeConfig:
    """Return the edge's configuration for a plan."""
    counters: dict[str, dict[str, Any]] = {}
    for item in plan:
        counter = counters.setdefault(item.counter, {"code": item.counter, "playlist": []})
        counter["playlist"].append({"name": item.name, "media": rtsp.url(item.name), "consent": item.consent})
    return EdgeConfig(
        name="demo-edge",
        data_dir=folder / _EDGE,
        centre={"url": centre},
        counters=tuple(counters.values()),
        metrics_port=0,
    )


def _watch(console: Console, screen: Screen, worker: EdgeWorker, centre: Centre) -> None:
    """Show progress and arrivals until every session has ended."""
    live = Live(get_renderable=screen.table, console=console, refresh_per_second=_REFRESH_HZ)
    seen: set[str] = set()
    with live if console.is_terminal else nullcontext():
        while not all(playlist.join(0) for playlist in worker.playlists.values()):
            _show_arrivals(console, centre, seen)
            time.sleep(0.5)
    worker.drain(30)
    _show_arrivals(console, centre, seen)
    broken = [f"{code}: {playlist.error}" for code, playlist in worker.playlists.items() if playlist.error]
    if broken:
        raise CaptureError("; ".join(broken))


def _show_arrivals(console: Console, centre: Centre, seen: set[str]) -> None:
    if not centre.runs():
        raise CaptureError(_CENTRE_GONE)
    try:
        arrivals = centre.arrivals()
    except httpx.HTTPError:
        return  # the next look shows what this one missed
    for item in arrivals:
        if item["session_id"] not in seen:
            seen.add(item["session_id"])
            console.print(f"  → centre has a signal of {item['counter']}: {figure(item)}")
