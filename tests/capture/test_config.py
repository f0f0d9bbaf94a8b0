"""A wrong configuration is told with file, key and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from capture.config import ConfigError, load_config

GOOD = """\
name = "edge-a"
data_dir = "data"

[centre]
url = "http://127.0.0.1:8700"

[kiosk]
port = 8710

[[counters]]
code = "quay-1"
camera = "rtsp://127.0.0.1:8554/quay-1"

[[counters]]
code = "quay-2"
camera = "file:clips/a.mp4"
seat_zone = [[0.2, 0.1], [0.8, 0.1], [0.8, 1.0]]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file_is_read_and_its_paths_start_at_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert config.data_dir == tmp_path / "data"
    assert [counter.code for counter in config.counters] == ["quay-1", "quay-2"]
    assert config.counters[0].camera == "rtsp://127.0.0.1:8554/quay-1"
    assert config.counters[1].camera == f"file:{tmp_path}/clips/a.mp4"


def test_the_agency_names_itself(tmp_path: Path) -> None:
    text = GOOD.replace("[kiosk]", '[consent]\ncontroller = "UBND phường Hạ Long"\n\n[kiosk]')
    config = load_config(write(tmp_path, text))
    assert (config.consent.controller, config.consent.processor) == ("UBND phường Hạ Long", None)
    with pytest.raises(ConfigError, match=r"consent\.controller"):
        load_config(write(tmp_path, text.replace("UBND phường Hạ Long", "")))


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAILONG_EDGE_NAME", "edge-b")
    monkeypatch.setenv("HAILONG_EDGE_CENTRE__URL", "https://centre.example")
    config = load_config(write(tmp_path, GOOD))
    assert config.name == "edge-b"
    assert config.centre is not None
    assert config.centre.url == "https://centre.example"


@pytest.mark.parametrize(
    ("wrong", "right", "line", "words"),
    [
        ("prot = 8710", "port = 8710", 8, "unknown key 'kiosk.prot'"),
        ("port = 99999", "port = 8710", 8, "'kiosk.port'"),
        ('url = "centre"', 'url = "http://127.0.0.1:8700"', 5, "'centre.url'"),
        ('code = "Quầy 2"', 'code = "quay-2"', 15, "'counters.1.code'"),
        (
            "seat_zone = [[0.2, 0.1], [0.8, 1.7], [0, 0]]",
            "seat_zone = [[0.2, 0.1], [0.8, 0.1], [0.8, 1.0]]",
            17,
            "1.7",
        ),
        ('code = "quay-1"', 'code = "quay-2"', None, "given twice: quay-1"),
    ],
)
def test_an_error_names_file_key_and_line(
    tmp_path: Path, wrong: str, right: str, line: int | None, words: str
) -> None:
    path = write(tmp_path, GOOD.replace(right, wrong))
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    message = str(raised.value)
    assert (f"{path}:{line}:" if line else str(path)) in message
    assert words in message


def test_a_counter_without_devices_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, '[[counters]]\ncode = "quay-1"\n')
    with pytest.raises(ConfigError, match="either a camera or microphone, or a playlist"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "words"), [("name = ", "not valid TOML"), ('name = "x"', "'counters' is missing")]
)
def test_unusable_files(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, text))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hailong edge init"):
        load_config(tmp_path / "edge.toml")


@pytest.mark.parametrize("port", [8710, 8711])
def test_the_health_page_takes_no_port_of_the_kiosk(tmp_path: Path, port: int) -> None:
    load_config(write(tmp_path, GOOD))  # the defaults do not meet
    with pytest.raises(ConfigError, match=f"metrics_port {port}"):
        load_config(write(tmp_path, f"metrics_port = {port}\n{GOOD}"))


PROCEDURES = GOOD.replace(
    '[[counters]]\ncode = "quay-2"',
    """\
[[counters.procedures]]
code = "1.004227"
vi = "Đăng ký khai sinh"
en = "Birth registration"

[[counters.procedures]]
code = "2.000488"
vi = "Chứng thực bản sao"
en = "Certified copy"

[[counters]]
code = "quay-2"
procedures = [{ code = "1.004227", vi = "Đăng ký khai sinh", en = "Birth registration" }]""",
)


def test_a_counter_lists_what_it_handles(tmp_path: Path) -> None:
    first, second = load_config(write(tmp_path, PROCEDURES)).counters
    assert [(item.code, item.vi, item.en) for item in first.procedures] == [
        ("1.004227", "Đăng ký khai sinh", "Birth registration"),
        ("2.000488", "Chứng thực bản sao", "Certified copy"),
    ]
    assert [item.code for item in second.procedures] == ["1.004227"]
    assert [counter.procedures for counter in load_config(write(tmp_path, GOOD)).counters] == [(), ()]


@pytest.mark.parametrize(
    ("wrong", "right", "line", "words"),
    [
        ('code = "Chứng thực"', 'code = "2.000488"', 20, "'counters.0.procedures.1.code'"),
        ('vi = ""', 'vi = "Chứng thực bản sao"', 21, "'counters.0.procedures.1.vi'"),
        ('vi = " Khai sinh"', 'vi = "Đăng ký khai sinh"', 16, "'counters.0.procedures.0.vi'"),
        ('nom = "Certified copy"', 'en = "Certified copy"', 22, "unknown key 'counters.0.procedures.1.nom'"),
        ('procedures = [{ code = "-"', 'procedures = [{ code = "1.004227"', 26, "procedures.0.code'"),
        ('code = "1.004227"', 'code = "2.000488"', 10, "lists procedures twice: 1.004227; list each"),
    ],
)
def test_an_error_in_a_procedure_names_its_line(
    tmp_path: Path, wrong: str, right: str, line: int, words: str
) -> None:
    path = write(tmp_path, PROCEDURES.replace(right, wrong, 1))
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert words in str(raised.value)
    assert f"{path}:{line}:" in str(raised.value)
