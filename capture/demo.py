"""The demo: sample counters stream through the whole system, on this machine only.

A real RTSP server plays the sample recordings; the edge program reads them behind the
consent gate, counter by counter in parallel; a central program in a process of its own
takes the signals into a real PostgreSQL and serves the supervisors' page.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import httpx
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from capture.commands import quiet_logs
from capture.config import EdgeConfig
from capture.errors import CaptureError
from capture.identity import enrol
from capture.rtsp_server import RtspMediaServer
from capture.worker import EdgeWorker, Listeners, open_data_folder

if TYPE_CHECKING:
    from types import TracebackType
    from uuid import UUID

    from capture.playlist import ItemResult
    from capture.source import MediaUnit
    from consent.gate import Permitted
    from consent.state import State

demo = typer.Typer(
    name="demo", help="Stream the sample counters through the whole system.", pretty_exceptions_enable=False
)

SAMPLES: Final = Path(__file__).resolve().parents[1] / "samples"
_READY_S: Final = 120.0
_REFRESH_HZ: Final = 4
LABEL: Final = (
    "SYNTHETIC: rendered CC0 MakeHuman head, Kokoro-82M (Apache-2.0) synthetic Vietnamese with an accent; "
    "no real person; numbers invented."
)


@dataclass(frozen=True, slots=True)
class DemoSession:
    """One planned session of the demo."""

    name: str
    counter: str
    media: Path
    consent: Path


@dataclass(slots=True)
class CounterView:
    """What the screen shows of one counter."""

    sessions: list[str]
    current: str = ""
    state: str = ""
    units: dict[str, int] = field(default_factory=dict)
    captured_s: dict[str, float] = field(default_factory=dict)
    done: int = 0


class Centre:
    """A central program in a process of its own.

    Args:
        folder: Where its settings, database and log lie.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing starts yet."""
        self._folder = folder
        self._token = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[str] | None = None
        self._scratch: Path | None = None
        self.address = ""
        self.password = ""

    def __enter__(self) -> Self:
        """Start it and wait until it serves.

        Raises:
            CaptureError: It did not start; the message holds its last words.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = self._folder / "central.toml"
        settings.write_text(
            "# Settings of the demo's centre; a real one keeps minimum_n at 10.\n"
            "[server]\nport = 0\n\n"
            f'[database]\ndata_dir = "{self._database_folder()}"\n\n'
            "[pages]\nminimum_n = 1\n\n"
            f'[demo]\nenabled = true\narrivals_token = "{self._token}"\n',
            encoding="utf-8",
        )
        log = (self._folder / "central.log").open("w", encoding="utf-8")
        with log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "hailong", "central", "run", "-c", str(settings)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the centre in order
            )
        try:
            self._wait_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it, and the database with it."""
        self._stop()

    def token(self, counters: list[str]) -> str:
        """Make a one-time token for an edge, as an administrator does."""
        command = [
            sys.executable,
            "-m",
            "hailong",
            "central",
            "enrol-token",
            "-c",
            str(self._folder / "central.toml"),
        ]
        for counter in counters:
            command += ["--counter", counter]
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
        if made.returncode:
            raise CaptureError(f"the centre gave no token: {made.stderr.strip()[-500:]}")
        return made.stdout.strip().splitlines()[-1].split()[-1]

    def arrivals(self) -> list[dict[str, Any]]:
        """Return what arrived at the centre so far, newest last."""
        answer = httpx.get(
            f"{self.address}/v1/arrivals",
            params={"limit": 500},
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=5,
        )
        answer.raise_for_status()
        given: list[dict[str, Any]] = answer.json()["arrivals"]
        return given

    def _database_folder(self) -> Path:
        """Return where PostgreSQL keeps its data: run by root it needs a folder that any user may enter."""
        if os.geteuid() != 0:
            return self._folder / "postgres"
        self._scratch = Path(tempfile.mkdtemp(prefix="hailong-demo-"))
        self._scratch.chmod(0o755)
        return self._scratch / "postgres"

    def _wait_ready(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            raise CaptureError("the centre was not started")
        deadline = time.monotonic() + _READY_S
        timer = threading.Timer(_READY_S, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                for word in line.split():
                    if word.startswith(("http://", "https://")):
                        self.address = word.rstrip(".,/")
                if "password" in line.lower():
                    self.password = line.split()[-1]
                if self.address and self.password:
                    break
        finally:
            timer.cancel()
        if not self.address:
            words = (self._folder / "central.log").read_text(encoding="utf-8").strip()[-800:]
            late = "in time " if time.monotonic() >= deadline else ""
            raise CaptureError(f"the centre did not start {late}({process.poll()}): {words}")
        threading.Thread(target=process.stdout.read, name="centre-output", daemon=True).start()

    def _stop(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


class Screen:
    """Progress per counter, decisions and arrivals; a live table on a terminal, lines elsewhere."""

    def __init__(self, console: Console, plan: list[DemoSession]) -> None:
        """Lay out the counters of the plan."""
        self._console = console
        self._lock = threading.Lock()
        self.counters: dict[str, CounterView] = {}
        for item in plan:
            self.counters.setdefault(item.counter, CounterView([])).sessions.append(item.name)
        self.results: dict[str, ItemResult] = {}
        self._first_ns: dict[str, int] = {}
        self.first_figure_s: float | None = None
        self._started = time.monotonic()

    def saw_unit(self, counter: str, unit: Permitted[MediaUnit]) -> None:
        """Count a unit that was read."""
        captured_ns = unit.open().captured_ns
        with self._lock:
            view = self.counters[counter]
            view.units[view.current] = view.units.get(view.current, 0) + 1
            first = self._first_ns.setdefault(f"{counter}/{view.current}", captured_ns)
            view.captured_s[view.current] = (captured_ns - first) / 1e9

    def saw_state(self, counter: str, name: str, state: State) -> None:
        """Note a step of a session's consent."""
        with self._lock:
            view = self.counters[counter]
            view.current, view.state = name, state.value
        if not self._console.is_terminal:
            self._console.print(f"{counter}  {name}: consent {state.value}")

    def saw_item(self, result: ItemResult) -> None:
        """Note the end of a session."""
        with self._lock:
            self.counters[result.counter].done += 1
            self.results[result.name] = result
            session = result.session
            if session is not None and session.signal is not None and self.first_figure_s is None:
                self.first_figure_s = time.monotonic() - self._started
        if not self._console.is_terminal:
            self._console.print(f"{result.counter}  {result.name}: {outcome(result)}")

    def table(self) -> Table:
        """Return the live table."""
        table = Table(title="counters", expand=False)
        for heading in ("counter", "session", "consent", "read", "done", "last result"):
            table.add_column(heading)
        with self._lock:
            for code, view in self.counters.items():
                last = [name for name in view.sessions if name in self.results]
                table.add_row(
                    code,
                    view.current,
                    view.state,
                    f"{view.captured_s.get(view.current, 0):.0f} s, {view.units.get(view.current, 0)} units",
                    f"{view.done}/{len(view.sessions)}",
                    f"{last[-1]}: {outcome(self.results[last[-1]])}" if last else "",
                )
        return table


@demo.callback(invoke_without_command=True)
def run_demo(
    samples: Annotated[Path, typer.Option(help="Folder with sessions.toml.")] = SAMPLES,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its data; emptied first.")] = Path(
        ".run/demo"
    ),
) -> None:
    """Stream the sample counters through the whole system until Ctrl-C (or DEMO_EXIT=1)."""
    quiet_logs()
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 150)
    try:
        plan = read_plan(samples)
        _run(console, plan, folder.resolve(), stay=os.environ.get("DEMO_EXIT", "") in {"", "0"})
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except CaptureError as error:
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


def _run(console: Console, plan: list[DemoSession], folder: Path, *, stay: bool) -> None:
    began = time.monotonic()
    console.print(LABEL)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    counters = sorted({item.counter for item in plan})
    screen = Screen(console, plan)
    console.print("starting the centre (PostgreSQL, migrations, pages) …")
    with (
        Centre(folder / "centre") as centre,
        RtspMediaServer({item.name: item.media for item in plan}) as rtsp,
    ):
        console.print(f"centre ready at {centre.address}; {len(counters)} counters stream over RTSP")
        config = edge_config(plan, rtsp, folder, centre.address)
        enrol(
            open_data_folder(config.data_dir),
            centre=centre.address,
            token=centre.token(counters),
            name=config.name,
        )
        listeners = Listeners(unit=screen.saw_unit, state=screen.saw_state, item=screen.saw_item)
        console.print("loading models …")
        with EdgeWorker(config, listeners) as worker:
            _watch(console, screen, worker, centre)
            if not worker.drain(60):
                raise CaptureError(
                    "the centre did not confirm every signal within a minute; see its central.log"
                )
            arrived = {item["session_id"]: item for item in centre.arrivals()}
        console.print(results_table(plan, screen.results, arrived))
        if screen.first_figure_s is not None:
            console.print(
                f"first figure {screen.first_figure_s:.0f} s after the start, "
                f"everything {time.monotonic() - began:.0f} s"
            )
        console.print(
            "These figures are uncalibrated signals of invented sessions: no share of satisfied people, "
            "and not SIPAS."
        )
        if stay:
            console.print(
                f"\nThe supervisors' page: {centre.address}  user: admin, "
                f"one-time password: {centre.password}"
            )
            console.print("Ctrl-C ends the demo.")
            threading.Event().wait()
    typer.echo(json.dumps({"sessions": final_rows(plan, screen.results, arrived)}, ensure_ascii=False))


def edge_config(plan: list[DemoSession], rtsp: RtspMediaServer, folder: Path, centre: str) -> EdgeConfig:
    """Return the edge's configuration for a plan."""
    counters: dict[str, dict[str, Any]] = {}
    for item in plan:
        counter = counters.setdefault(item.counter, {"code": item.counter, "playlist": []})
        counter["playlist"].append({"name": item.name, "media": rtsp.url(item.name), "consent": item.consent})
    return EdgeConfig(
        name="demo-edge",
        data_dir=folder / "edge",
        centre={"url": centre},
        counters=tuple(counters.values()),
        metrics_port=0,
    )


def _watch(console: Console, screen: Screen, worker: EdgeWorker, centre: Centre) -> None:
    """Show progress and arrivals until every session has ended."""
    seen: set[str] = set()

    def show_arrivals() -> None:
        try:
            arrivals = centre.arrivals()
        except httpx.HTTPError:
            return  # the next look shows what this one missed
        for item in arrivals:
            if item["session_id"] not in seen:
                seen.add(item["session_id"])
                console.print(f"  → centre has a signal of {item['counter']}: {_figure(item)}")

    def ended() -> bool:
        return all(playlist.join(0) for playlist in worker.playlists.values())

    if console.is_terminal:
        with Live(get_renderable=screen.table, console=console, refresh_per_second=_REFRESH_HZ):
            while not ended():
                show_arrivals()
                time.sleep(0.5)
    else:
        while not ended():
            show_arrivals()
            time.sleep(0.5)
    worker.drain(30)
    show_arrivals()
    broken = [f"{code}: {playlist.error}" for code, playlist in worker.playlists.items() if playlist.error]
    if broken:
        raise CaptureError("; ".join(broken))


def final_rows(
    plan: list[DemoSession], results: dict[str, ItemResult], arrived: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what the last line states, with the figures that the centre has."""
    rows = []
    for item in plan:
        result = results[item.name]
        session_id: UUID | None = result.session.session_id if result.session else None
        overall = arrived.get(str(session_id), {})
        rows.append(
            {
                "name": item.name,
                "counter": item.counter,
                "consent": result.state.value,
                "score": overall.get("score"),
                "low": overall.get("low"),
                "high": overall.get("high"),
            }
        )
    return rows


def results_table(
    plan: list[DemoSession], results: dict[str, ItemResult], arrived: dict[str, dict[str, Any]]
) -> Table:
    """Return the table of sessions by counter, as the centre has them."""
    table = Table(title="what reached the centre, by counter")
    for heading in (
        "counter",
        "session",
        "consent",
        "signal (90 % interval)",
        "factors",
        "change",
        "evidence",
    ):
        table.add_column(heading)
    for item in sorted(plan, key=lambda planned: planned.counter):
        result = results[item.name]
        session = result.session
        signal_ = session.signal if session is not None else None
        if signal_ is None or str(signal_.session_id) not in arrived:
            table.add_row(item.counter, item.name, result.state.value, "none", "", "", "")
            continue
        factors = ", ".join(
            f"{each.factor.value} {each.estimate.score:.2f}"
            for each in signal_.factors
            if each.estimate.score is not None
        )
        change = signal_.change
        table.add_row(
            item.counter,
            item.name,
            result.state.value,
            _figure(arrived[str(signal_.session_id)]),
            factors,
            "" if change.delta is None else f"{change.delta:+.2f}",
            f"face {signal_.quality.face_s:.0f} s, {signal_.quality.utterances} utterances",
        )
    return table


def outcome(result: ItemResult) -> str:
    """Return how a session ended, in a few words."""
    session = result.session
    if session is None:
        return f"{result.state.value}, no device was opened"
    if session.signal is None:
        return f"{result.state.value}, no signal"
    return f"{result.state.value}, signal {_figure(session.signal.overall.model_dump())}"


def _figure(overall: dict[str, Any]) -> str:
    if overall.get("score") is None:
        return f"abstains ({overall.get('abstained')})"
    return f"{overall['score']:.2f} ({overall['low']:.2f}-{overall['high']:.2f})"
