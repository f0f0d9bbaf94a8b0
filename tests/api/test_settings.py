"""Settings and commands: what is wrong is said with file, line and key, and an exit code."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from api.errors import SettingsInvalid
from api.server import configure_logging
from api.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "hailong.py"), "central", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1\n", r"central.toml, line 2: unknown key 'server.prot'"),
        ("servr = 1\n", r"central.toml, line 1: unknown key 'servr'"),
        ("[server]\n\nport = 99999\n", r"line 3: 'server.port': .*65535"),
        ("[server\n", r"central.toml: not TOML: .*line 1"),
        ("[pages]\nminimum_n = 3\n", r"demo.enabled = true"),
        ("[demo]\narrivals_token = 'let-me-see'\n", r"demo.*single sessions"),
        ("[demo]\nenabled = true\narrivals_token = ''\n", r"arrivals_token.*at least 8"),
        ("[server]\ntls_key = 'x'\n", r"tls_certificate and tls_key belong together"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "central.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsInvalid, match=message):
        load_settings(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="no such file"):
        load_settings(tmp_path / "absent.toml")


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "central.toml"
    path.write_text("[server]\nport = 1111\nhost = '127.0.0.2'\n", encoding="utf-8")
    monkeypatch.setenv("HAILONG_CENTRAL__SERVER__PORT", "2222")
    server = load_settings(path).server
    assert (server.port, server.host) == (2222, "127.0.0.2")


@pytest.mark.parametrize("name", ["HAILONG_CENTRAL__SERVR__PORT", "HAILONG_CENTRAL__SERVER__PROT"])
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsInvalid, match=r"SERVR|prot"):
        load_settings()


def test_a_low_minimum_needs_the_demonstration_switch() -> None:
    settings = Settings.model_validate({"pages": {"minimum_n": 1}, "demo": {"enabled": True}})
    assert settings.pages.minimum_n == 1


def test_a_taken_port_ends_with_code_2_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "central.toml"
        config.write_text(
            f'[server]\nport = {port}\n[database]\ndata_dir = "{tmp_path}/pg"\n', encoding="utf-8"
        )
        done = run("run", "-c", str(config))
    assert done.returncode == 2
    assert re.search(rf"port {port} .* is taken .* server.port", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "pg").exists()


def test_a_wrong_key_ends_with_code_2(tmp_path: Path) -> None:
    config = tmp_path / "central.toml"
    config.write_text("[server]\nprot = 1\n", encoding="utf-8")
    done = run("check-config", "-c", str(config))
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 2: unknown key 'server.prot'" in done.stderr


def test_init_writes_a_file_that_is_accepted_and_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "central.toml"
    assert run("init", str(path)).returncode == 0
    assert load_settings(path).pages.minimum_n == 10
    again = run("init", str(path))
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_an_unexpected_error_is_logged_without_the_values_of_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def check(password: str) -> None:
        raise RuntimeError(f"cannot read {len(password)} letters")

    kept = structlog.get_config()
    try:
        configure_logging("info")
        try:
            check("bi-mat" * 2)
        except RuntimeError as error:
            structlog.get_logger("api").error("unexpected error", exc_info=error)
    finally:
        structlog.configure(**kept)
    line = json.loads(capsys.readouterr().err)
    assert line["exception"][0]["exc_type"] == "RuntimeError"
    assert "12 letters" not in json.dumps(line)  # messages of errors that are not ours may show values
    assert [frame["name"] for frame in line["exception"][0]["frames"]][-1] == "check"
    assert "bi-matbi-mat" not in json.dumps(line)


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "central.md").read_text(encoding="utf-8")
    missing = []
    for section, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        names = [f"{section}.{key}" for key in inner] if inner else [section]
        missing += [name for name in names if f"`{name}`" not in text]
    assert missing == []
