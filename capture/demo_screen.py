"""What a person sees of the demo: progress by counter while it runs, a table at its end."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from capture.playlist import ItemResult
    from capture.source import MediaUnit
    from consent.gate import Permitted
    from consent.state import State

_LINE_EVERY_S: Final = 10.0
_ALL_COLUMNS: Final = 92
"""Characters that the whole table needs; a narrower terminal loses the last column, no part of a figure."""


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
    captured_s: dict[str, float] = field(default_factory=dict)
    done: int = 0
    last: str = ""
    said_s: float = 0.0


class Screen:
    """Progress per counter, decisions and arrivals; a live table on a terminal, lines elsewhere.

    Args:
        console: Where to write.
        plan: The sessions to come.
    """

    def __init__(self, console: Console, plan: Sequence[DemoSession]) -> None:
        """Lay out the counters of the plan."""
        self._console = console
        self._lock = threading.Lock()
        self.counters: dict[str, CounterView] = {}
        for item in plan:
            self.counters.setdefault(item.counter, CounterView([])).sessions.append(item.name)
        self.results: dict[str, ItemResult] = {}
        self._first_ns: dict[str, int] = {}
        self._first_figure_s: float | None = None
        self._started = time.monotonic()

    @property
    def first_figure_s(self) -> float | None:
        """Seconds from the start to the first signal with a score; None before it."""
        return self._first_figure_s

    def saw_unit(self, counter: str, unit: Permitted[MediaUnit]) -> None:
        """Note how far the reading of a session is."""
        captured_ns = unit.open().captured_ns
        with self._lock:
            view = self.counters[counter]
            first = self._first_ns.setdefault(f"{counter}/{view.current}", captured_ns)
            read_s = view.captured_s[view.current] = (captured_ns - first) / 1e9
            tell = not self._console.is_terminal and read_s - view.said_s >= _LINE_EVERY_S
            if tell:
                view.said_s = read_s
            name = view.current
        if tell:
            self._console.print(f"{counter}  {name}: {read_s:.0f} s read")

    def saw_state(self, counter: str, name: str, state: State) -> None:
        """Note a step of a session's consent."""
        with self._lock:
            view = self.counters[counter]
            is_news = (view.current, view.state) != (name, state.value)
            if view.current != name:
                view.said_s = 0.0
            view.current, view.state = name, state.value
        if is_news and not self._console.is_terminal:
            self._console.print(f"{counter}  {name}: consent {state.value}")

    def saw_item(self, result: ItemResult) -> None:
        """Note the end of a session."""
        with self._lock:
            view = self.counters[result.counter]
            view.done += 1
            view.last = f"{result.name}: {outcome(result)}"
            self.results[result.name] = result
            signal = result.session.signal if result.session is not None else None
            if signal is not None and signal.overall.score is not None and self._first_figure_s is None:
                self._first_figure_s = time.monotonic() - self._started
        if not self._console.is_terminal:
            self._console.print(f"{result.counter}  {view.last}")

    def table(self) -> Table:
        """Return the live table."""
        table = Table(title="at the counters", title_justify="left", expand=False)
        for heading in ("counter", "session", "consent"):
            table.add_column(heading, no_wrap=True)
        table.add_column("read", justify="right", no_wrap=True)
        table.add_column("done", no_wrap=True)
        table.add_column("last session")
        with self._lock:
            for code, view in self.counters.items():
                table.add_row(
                    code,
                    view.current,
                    view.state,
                    f"{view.captured_s.get(view.current, 0):.0f} s",
                    f"{view.done}/{len(view.sessions)}",
                    view.last,
                )
        return table


def results_table(
    plan: Sequence[DemoSession],
    results: Mapping[str, ItemResult],
    arrived: Mapping[str, dict[str, Any]],
    *,
    width: int,
) -> Table:
    """Return the table of sessions by counter, as the centre has them; `width` is in characters."""
    table = Table(title="what reached the centre, by counter", title_justify="left")
    for heading in ("counter", "session", "consent", "signal\n(90 % interval)"):
        table.add_column(heading, no_wrap=True)
    table.add_column("factors", min_width=9)  # the longest name of a factor
    table.add_column("change", no_wrap=True)
    if width >= _ALL_COLUMNS:
        table.add_column("evidence")
    for item in sorted(plan, key=lambda planned: planned.counter):
        result = results[item.name]
        session = result.session
        signal = session.signal if session is not None else None
        if signal is None or str(signal.session_id) not in arrived:
            table.add_row(item.counter, item.name, result.state.value, "none")
            continue
        factors = ", ".join(
            f"{each.factor.value} {each.estimate.score:.2f}"
            for each in signal.factors
            if each.estimate.score is not None
        )
        row = [
            item.counter,
            item.name,
            result.state.value,
            figure(arrived[str(signal.session_id)]),
            factors,
            _signed(signal.change.delta),
            f"face {signal.quality.face_s:.0f} s, {signal.quality.utterances} utterances",
        ]
        table.add_row(*row[: len(table.columns)])
    return table


def final_rows(
    plan: Sequence[DemoSession], results: Mapping[str, ItemResult], arrived: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what the last line states, with the figures that the centre has."""
    rows = []
    for item in plan:
        result = results[item.name]
        overall = arrived.get(str(result.session.session_id), {}) if result.session else {}
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


def outcome(result: ItemResult) -> str:
    """Return how a session ended, in a few words."""
    session = result.session
    if session is None:
        return f"{result.state.value}, no device was opened"
    if session.signal is None:
        return f"{result.state.value}, no signal"
    return f"{result.state.value}, signal {figure(session.signal.overall.model_dump())}"


def figure(overall: Mapping[str, Any]) -> str:
    """Return a score with its interval, or why there is none."""
    if overall.get("score") is None:
        return f"abstains ({overall.get('abstained')})"
    return f"{overall['score']:.2f} ({overall['low']:.2f}-{overall['high']:.2f})"


def _signed(delta: float | None) -> str:
    if delta is None:
        return ""
    return f"{round(delta, 2) + 0.0:+.2f}"  # the sum turns -0.0 into 0.0
