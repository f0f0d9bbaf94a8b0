"""The configuration of one edge: one validated tree, read from TOML and the environment."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from capture.address import SourceKind, parse_address
from capture.errors import CaptureError, SourceAddressError
from inference.signal import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

ENVIRONMENT_PREFIX: Final = "HAILONG_EDGE_"
_LAST_PORT: Final = 65535
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Polygon = Annotated[list[tuple[Share, Share]], Field(min_length=3)]


class ConfigError(CaptureError, ValueError):
    """The configuration cannot be used; the message names file, key and line."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CentreConfig(_Strict):
    """Where signals go."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+", description="Base address of the centre.")]


class KioskConfig(_Strict):
    """The page on which citizens decide; it is only ever served on this machine."""

    host: Annotated[str, Field(description="Loopback address to serve on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port of the page; 0 takes a free one.")] = 8710
    officer_port: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            description="Port of the officer's pages; 0 takes a free one, left out: the one after `port`.",
        ),
    ] = None
    decision_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="Silence for this long means no.")
    ] = 60.0

    @model_validator(mode="after")
    def _has_two_ports(self) -> Self:
        if self.port and self.officer_port == self.port:
            msg = "officer_port is the citizen's port: give the officer's pages another one, or leave it out"
            raise ValueError(msg)
        if self.port == _LAST_PORT and self.officer_port is None:
            msg = f"there is no port after {_LAST_PORT} for the officer's pages: set officer_port"
            raise ValueError(msg)
        return self

    @property
    def port_of_officer(self) -> int:
        """Port of the officer's pages; 0 takes a free one."""
        if self.officer_port is not None:
            return self.officer_port
        return self.port + 1 if self.port else 0


class PreviewConfig(_Strict):
    """The masked picture for installers."""

    enabled: Annotated[
        bool, Field(description="Whether 'hailong preview' may open a camera; only while it is installed.")
    ] = False


class FacesConfig(_Strict):
    """Which networks find and read faces, where they are not the ones hailong takes by itself."""

    expression: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Expression network: NAME or NAME@VERSION of a card, or deepface; none: our pair.",
        ),
    ] = None
    detector: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Face detector: NAME or NAME@VERSION of a card; left out: the best one present.",
        ),
    ] = None


class VoiceConfig(_Strict):
    """Which network turns speech into words, where it is not the one hailong takes by itself."""

    transcriber: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Transcriber: NAME or NAME@VERSION of a card, as faster-whisper; none: viet-asr.",
        ),
    ] = None


Party = Annotated[str, Field(min_length=1, max_length=600)]


class ConsentConfig(_Strict):
    """Who asks for consent, and bounds beside those that the citizen was told."""

    controller: Annotated[
        Party | None, Field(description="The agency, as each record names it; general words when left out.")
    ] = None
    contact: Annotated[
        Party | None, Field(description="Where citizens reach the agency about their data.")
    ] = None
    processor: Annotated[
        Party | None, Field(description="Who runs this edge for the agency; none when left out.")
    ] = None
    contact_lease_s: Annotated[
        float,
        Field(
            ge=5,
            le=60,
            description="A session known at the centre ends when nothing was heard from there for so long.",
        ),
    ] = 60.0
    quotes: Annotated[
        bool,
        Field(description="Whether citizens are also asked if redacted quotes may be kept, on this machine."),
    ] = False
    quotes_days: Annotated[
        int,
        Field(ge=1, le=30, description="How many days a quote is kept; the notice says 30 at most."),
    ] = 30


class PlaylistItem(_Strict):
    """One recorded session and the file that says what its citizen decides."""

    name: Annotated[Code, Field(description="Name of the session, unique at its counter.")]
    media: Annotated[str, Field(description="Address of the recording or of the stream that serves it.")]
    consent: Annotated[Path, Field(description="Consent file of the recording.")]


ProcedureName = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^\S(?:.*\S)?$")]


class ProcedureConfig(_Strict):
    """One procedure that a counter handles."""

    code: Annotated[Code, Field(description="Its code, as the centre knows it from the transactions.")]
    vi: Annotated[ProcedureName, Field(description="Its name in Vietnamese, for the officer's page.")]
    en: Annotated[ProcedureName, Field(description="Its name in English, for the officer's page.")]


class CounterConfig(_Strict):
    """One counter: its devices and what they look at."""

    code: Annotated[Code, Field(description="Code of the counter, as enrolled at the centre.")]
    camera: Annotated[
        str | None,
        Field(description="rtsp://…, v4l2:/dev/video0, file:PATH or lavfi:GRAPH; none without a camera."),
    ] = None
    microphone: Annotated[
        str | None,
        Field(
            description="alsa:hw:0, rtsp://…, file:PATH or lavfi:GRAPH; the camera's own sound when left out."
        ),
    ] = None
    citizen_channel: Annotated[
        Literal["left", "right", "only"],
        Field(description="Channel of the citizen's microphone; 'only' for a single directional one."),
    ] = "left"
    seat_zone: Annotated[
        Polygon | None, Field(description="Citizen's seat as corner points, each 0-1 of width and height.")
    ] = None
    privacy_masks: Annotated[
        list[Polygon], Field(description="Areas blackened before anything reads the picture.")
    ] = []
    procedures: Annotated[
        tuple[ProcedureConfig, ...],
        Field(
            max_length=32,
            description="What it handles; one stands in every ballot, of several the officer chooses.",
        ),
    ] = ()
    playlist: Annotated[
        tuple[PlaylistItem, ...],
        Field(
            description="Recorded sessions to serve in order instead of live devices: demo and acceptance."
        ),
    ] = ()
    longest_session_s: Annotated[
        float, Field(gt=0, le=3600, description="A session ends after this long, whatever happens.")
    ] = 3600.0

    @model_validator(mode="after")
    def _procedures_differ(self) -> Self:
        codes = [procedure.code for procedure in self.procedures]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            msg = f"counter '{self.code}' lists procedures twice: {', '.join(twice)}; list each of them once"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _has_a_device(self) -> Self:
        live = self.camera is not None or self.microphone is not None
        if live == bool(self.playlist):
            msg = (
                f"counter '{self.code}' has either a camera or microphone, or a playlist: give one of the two"
            )
            raise ValueError(msg)
        named = [("camera", self.camera), ("microphone", self.microphone)]
        named += [(f"the media of '{item.name}'", item.media) for item in self.playlist]
        for key, address in named:
            if address is not None:
                try:
                    parse_address(address)
                except SourceAddressError as error:  # the address itself may hold a password: not repeated
                    msg = f"{key}: {error}"
                    raise ValueError(msg) from None
        return self


class EdgeConfig(BaseSettings):
    """Everything that one edge program needs to know."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__"
    )

    name: Annotated[Code, Field(description="Name of this edge, as administrators see it.")] = "edge"
    data_dir: Annotated[Path, Field(description="Folder for the key, the consent log and the outbox.")] = (
        Path("hailong-edge")
    )
    centre: Annotated[CentreConfig | None, Field(description="None keeps signals here until one is set.")] = (
        None
    )
    kiosk: KioskConfig = KioskConfig()
    consent: ConsentConfig = ConsentConfig()
    faces: FacesConfig = FacesConfig()
    voice: VoiceConfig = VoiceConfig()
    preview: PreviewConfig = PreviewConfig()
    counters: Annotated[tuple[CounterConfig, ...], Field(min_length=1, max_length=32)]
    metrics_port: Annotated[
        int | None,
        Field(ge=0, le=65535, description="Loopback port of /healthz and /metrics; none turns it off."),
    ] = 8720
    threads: Annotated[int, Field(ge=1, le=2, description="Threads a network may use.")] = 1

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, so that one file serves several boxes."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port and self.metrics_port in {self.kiosk.port, self.kiosk.port_of_officer}:
            msg = f"metrics_port {self.metrics_port} is a port of the kiosk's pages: give one of them another"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _codes_differ(self) -> Self:
        codes = [counter.code for counter in self.counters]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            msg = f"counter codes are given twice: {', '.join(twice)}"
            raise ValueError(msg)
        return self


def load_config(path: Path) -> EdgeConfig:
    """Read and validate an edge configuration.

    Relative file addresses and the data folder are taken from the folder of the file.

    Raises:
        ConfigError: Names the file, the key, the line where it stands, and what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: write one with 'hailong edge init {path}'") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> EdgeConfig:
    """Validate the text of a configuration that stands, or will stand, at `path`.

    Raises:
        ConfigError: As `load_config` does.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    try:
        config = EdgeConfig(**tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(path, text, problem) for problem in error.errors())) from error
    return _anchored(config, path.resolve().parent)


def _anchored(config: EdgeConfig, folder: Path) -> EdgeConfig:
    def anchor(address: str | None) -> str | None:
        if address is None:
            return None
        parsed = parse_address(address)
        return f"file:{folder / parsed.target}" if parsed.kind is SourceKind.FILE else address

    counters = tuple(
        counter.model_copy(
            update={
                "camera": anchor(counter.camera),
                "microphone": anchor(counter.microphone),
                "playlist": tuple(
                    item.model_copy(update={"media": anchor(item.media), "consent": folder / item.consent})
                    for item in counter.playlist
                ),
            }
        )
        for counter in config.counters
    )
    return config.model_copy(update={"data_dir": folder / config.data_dir, "counters": counters})


def _explain(path: Path, text: str, problem: Any) -> str:  # noqa: ANN401 - pydantic's error dictionary
    location: Sequence[int | str] = problem["loc"]
    key = ".".join(str(part) for part in location) or "(the whole file)"
    line = _line_of(text, location)
    where = f"{path}:{line}" if line else str(path)
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}'; remove it or check its spelling"
    if problem["type"] == "missing":
        return f"{where}: '{key}' is missing"
    given = problem.get("input")
    shown = "" if isinstance(given, dict | list) or given is None else f" (given: {given!r})"
    return f"{where}: '{key}': {problem['msg']}{shown}"


def _line_of(text: str, location: Sequence[int | str]) -> int | None:
    """Find the line of a key by walking its path through the text of the file."""
    lines = text.splitlines()
    position = 0
    found: int | None = None
    for depth, part in enumerate(location):
        if isinstance(part, int):
            name = re.escape(str(location[depth - 1]))
            if found is not None and not lines[found].lstrip().startswith("["):
                break  # a list on the line of its key: what is in it has no line of its own that can be found
            header = re.compile(rf"\s*\[\[\s*(?:[\w.-]+\.)?{name}\s*\]\]")
            headers = [number for number in range(position, len(lines)) if header.match(lines[number])]
            if part < len(headers):
                position, found = headers[part], headers[part]
            continue
        key = re.escape(part)
        pattern = re.compile(rf"\s*(?:\[\[?\s*(?:[\w.-]+\.)?{key}\s*\]\]?|{key}\s*=)")
        for number in range(position, len(lines)):
            if pattern.match(lines[number]):
                position, found = number, number
                break
    return None if found is None else found + 1
