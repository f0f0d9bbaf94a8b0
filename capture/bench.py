"""`hailong bench`: what a session costs over the bare models, what faces and the log cost, the ingest.

CPU seconds are compared, not wall time, and only ratios of one run are quoted: the
machines this runs on are shared. Each run writes a dated record.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from capture.bench_faces import measure_faces
from capture.commands import quiet_logs
from capture.config import EdgeConfig, load_config
from capture.consent_script import ConsentScript
from capture.cost import CpuMeter
from capture.errors import CaptureError
from capture.networks import load_networks
from capture.recording import RecordingSource
from capture.replay import replay, replay_counter
from capture.worker import SOFTWARE
from consent.bench_log import measure_log
from consent.purpose import Purpose
from models.registry import Registry

bench = typer.Typer(
    name="bench", help="Measure stages, real-time factor and ingest.", pretty_exceptions_enable=False
)

ROOT: Final = Path(__file__).resolve().parents[1]
_PACKAGES: Final = ("numpy", "onnxruntime", "opencv-contrib-python-headless", "av", "viet-asr", "psycopg")
_BOTH: Final = frozenset({Purpose.IMAGE, Purpose.VOICE})
_GIVEN: Final = ConsentScript(decision="given", purposes=_BOTH, decides_after_s=0)


@bench.callback(invoke_without_command=True)
def run_bench(
    media: Annotated[Path, typer.Option(help="Recording to measure on.")] = ROOT
    / "samples"
    / "satisfied.mp4",
    folder: Annotated[Path, typer.Option(help="Where the dated record is written.")] = ROOT / "benchmarks",
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="An edge's configuration, whose networks are taken."),
    ] = None,
    faces: Annotated[bool, typer.Option(help="Also measure faces: every part, a long session.")] = True,
    ingest: Annotated[bool, typer.Option(help="Also measure what the centre takes.")] = True,
    pages: Annotated[bool, typer.Option(help="Also measure the centre's pages and an import.")] = True,
    log: Annotated[bool, typer.Option(help="Also measure the log: appends, proofs, whole checks.")] = True,
) -> None:
    """Measure one recording through the whole edge, faces, the log, and the centre's ingest."""
    quiet_logs()
    try:
        settings = None if config is None else load_config(config)
    except CaptureError as error:  # in one line as it stands: a box would break the path
        typer.echo(f"hailong: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"edge: {media.name} …", err=True)
    record: dict[str, Any] = {"machine": machine(), "edge": measure_edge(media, settings)}
    if faces:
        typer.echo("faces: every part, 10,000 frames of one session …", err=True)
        record["faces"] = measure_faces(media, SOFTWARE, settings=settings)
    if log:
        typer.echo("log: append, prove, verify; a million entries checked …", err=True)
        record["log"] = measure_log().document()
    if ingest:
        typer.echo("centre: ingest into a fresh database …", err=True)
        record["ingest"] = measure_centre("bench-ingest")["ingest"]
    if pages:
        typer.echo("centre: pages, first charts and an import on a made-up province …", err=True)
        record["pages"] = measure_centre("bench-pages")
    path = folder / f"{datetime.now(UTC):%Y-%m-%d}-{record['machine']['commit'][:12]}.json"
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    typer.echo(json.dumps(record, indent=1, ensure_ascii=False))
    typer.echo(f"record written to {path}", err=True)


def measure_edge(media: Path, settings: EdgeConfig | None = None) -> dict[str, Any]:
    """Measure one recording: CPU by stage, overhead over the bare models, counters a core.

    Args:
        media: The recording.
        settings: An edge's configuration, whose networks are taken.
    """
    meter = CpuMeter()
    loaded = load_networks(Registry.default(), settings)
    perception = meter.perception(loaded)
    try:
        decode_s, media_s = _decode_alone(media)
        began_cpu, began = time.process_time(), time.monotonic()
        result = replay(media, _GIVEN, perception, counter=replay_counter(), software=SOFTWARE)
        wall_s, own_s = time.monotonic() - began, time.process_time() - began_cpu
    finally:
        loaded.close()
    if result.error is not None or result.signal is None:
        raise typer.BadParameter(f"{media} gave no signal: {result.error or result.consent}")
    models_s = sum(meter.seconds.values())
    total_s = own_s + meter.processes_s
    return {
        "media": media.name,
        "media_s": round(media_s, 1),
        "models_cpu_share": {
            stage: round(seconds / total_s, 3) for stage, seconds in sorted(meter.seconds.items())
        },
        "model_calls": dict(sorted(meter.calls.items())),
        "decode_cpu_share": round(decode_s / total_s, 3),
        "rest_cpu_share": round((total_s - models_s - decode_s) / total_s, 3),
        "overhead_over_bare_models": round((total_s - models_s) / models_s, 3),
        "overhead_without_decoding": round((total_s - models_s - decode_s) / models_s, 3),
        "cpu_s_a_second_of_media": round(total_s / media_s, 3),
        "real_time_factor": round(wall_s / media_s, 3),
        "counters_a_core_extrapolated": round(media_s / total_s, 1),
        "models": [version.model_dump(mode="json") for version in result.signal.models],
    }


def measure_centre(command: str) -> dict[str, Any]:
    """Measure the centre by a command of it, in a process of its own."""
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [sys.executable, "-m", "hailong", "central", command, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise typer.BadParameter(f"{command} failed: {done.stderr.strip()[-800:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def machine() -> dict[str, Any]:
    """Say what was measured where: processor, cores, versions, commit."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "changed_files": len((_git("status", "--porcelain") or "").splitlines()),
    }


def _decode_alone(media: Path) -> tuple[float, float]:
    """Decode without reading anything; returns CPU seconds and the length of the media."""
    began = time.process_time()
    device = RecordingSource(media).open(_BOTH)
    first_ns = last_ns = None
    try:
        while (unit := device.read()) is not None:
            first_ns = unit.captured_ns if first_ns is None else first_ns
            last_ns = unit.captured_ns
    finally:
        device.close()
    if first_ns is None or last_ns is None:
        raise typer.BadParameter(f"{media} holds no picture and no sound")
    return time.process_time() - began, (last_ns - first_ns) / 1e9


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607 - fixed arguments
    return done.stdout.strip() if done.returncode == 0 else None
