"""The settings of the central program: one validated tree from TOML and the environment.

Environment variables override the file: `HAILONG_CENTRAL__SERVER__PORT=8443`.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from api.errors import SettingsInvalid
from api.postgres import default_state_dir

ENV_PREFIX: Final = "HAILONG_CENTRAL__"
MINIMUM_N: Final = 10
"""Nothing is shown about fewer sessions than this outside a demonstration."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Section):
    """Where the service listens."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port; 0 takes a free one.")
    tls_certificate: Path | None = Field(default=None, description="PEM certificate chain; turns TLS on.")
    tls_key: Path | None = Field(default=None, description="PEM private key of the certificate.")
    body_timeout_s: float = Field(
        default=20.0, gt=0, le=300, description="Longest time a request body may take."
    )
    max_connections: int = Field(
        default=512, ge=8, le=65536, description="Connections before new ones get 503."
    )
    secure_cookies: bool | None = Field(
        default=None, description="Mark cookies Secure; unset: when TLS is on. Set it behind a TLS proxy."
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(), description="Addresses of proxies whose X-Forwarded-For tells where a login comes from."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            msg = "tls_certificate and tls_key belong together: set both or none"
            raise ValueError(msg)
        return self

    @property
    def cookies_are_secure(self) -> bool:
        """Whether cookies carry the Secure mark."""
        return self.tls_key is not None if self.secure_cookies is None else self.secure_cookies


class DatabaseSettings(_Section):
    """Which PostgreSQL holds the signals."""

    dsn: SecretStr | None = Field(default=None, description="Any PostgreSQL 15 or newer; unset runs our own.")
    data_dir: Path = Field(
        default_factory=lambda: default_state_dir() / "postgres",
        description="Data directory of our own server.",
    )
    run_as: str | None = Field(
        default=None, description="User of our own server when started by root; default nobody."
    )
    pool_size: int = Field(default=8, ge=2, le=100, description="Most connections of this process.")
    wait_s: float = Field(default=5.0, gt=0, le=60, description="Longest wait for a connection before 503.")


class IngestSettings(_Section):
    """What is taken from an edge."""

    max_body_bytes: int = Field(
        default=2 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest batch."
    )
    max_entries: int = Field(default=500, ge=1, le=500, description="Most entries of a batch.")
    clock_ahead_s: float = Field(
        default=300.0, ge=0, le=3600, description="How far an edge's clock may be ahead."
    )
    max_age_days: int = Field(default=400, ge=1, le=3660, description="Oldest session that is still taken.")
    token_hours: float = Field(default=24.0, gt=0, le=168, description="Life of an enrolment token.")


class SourcesSettings(_Section):
    """What is taken from a source system that brings ballots."""

    max_body_bytes: int = Field(
        default=8 * 1024 * 1024, ge=65536, le=64 * 1024 * 1024, description="Largest body with ballots."
    )
    imports_a_minute: int = Field(
        default=30, ge=1, le=6000, description="Bodies with ballots that one source system may send a minute."
    )


class WitnessSettings(_Section):
    """One outside witness."""

    url: str = Field(pattern=r"^https?://[^\s?#]+$", description="Address of its API, without a path to add.")
    vkey: str = Field(min_length=1, max_length=4000, description="Its public key, as it prints it.")


class LogSettings(_Section):
    """The log of the centre and what it takes from the edges' logs."""

    data_dir: Path | None = Field(
        default=None,
        description="Folder of the centre's keys and of the log's newest checkpoint; "
        "unset: 'log' beside database.data_dir.",
    )
    checkpoint_s: float = Field(
        default=2.0, gt=0, le=3600, description="Time between checkpoints of a growing log."
    )
    fold_s: float = Field(
        default=60.0,
        ge=0,
        le=86400,
        description="Least time between two folded checkpoints of one edge; withdrawals do not wait.",
    )
    max_body_bytes: int = Field(
        default=8 * 1024 * 1024, ge=65536, le=64 * 1024 * 1024, description="Largest part of an edge's log."
    )
    max_entries: int = Field(default=500, ge=1, le=5000, description="Most entries of an edge's log at once.")
    witnesses: tuple[WitnessSettings, ...] = Field(
        default=(), max_length=16, description="Outside witnesses that cosign the checkpoints."
    )
    quorum: int = Field(
        default=1, ge=1, le=16, description="Witnesses a checkpoint needs to count as witnessed."
    )
    witness_s: float = Field(
        default=10.0, gt=0, le=86400, description="Time between two submissions to the witnesses."
    )
    witness_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="Longest wait for the answer of a witness."
    )

    @model_validator(mode="after")
    def _quorum_can_be_reached(self) -> Self:
        if self.witnesses and self.quorum > len(self.witnesses):
            msg = f"log.quorum is {self.quorum}, but log.witnesses names {len(self.witnesses)}: name more"
            raise ValueError(msg)
        return self


class ErasureSettings(_Section):
    """When what an erasure leaves behind in data files is rewritten; the table is locked meanwhile."""

    rewrite_now_mb: int = Field(
        default=256, ge=1, description="Largest table that is rewritten at once; larger ones in the night."
    )
    night_from_hour: int = Field(default=1, ge=0, le=23, description="First hour of the night, local time.")
    night_to_hour: int = Field(
        default=5, ge=0, le=23, description="First hour after it; the same hour allows all day."
    )


class RetentionSettings(_Section):
    """How long the centre keeps what; the rules themselves are in `api/retention.toml`."""

    days: dict[str, int] = Field(
        default_factory=dict, description="Category = days, where less than the rule's days is kept."
    )
    daily: bool = Field(default=True, description="Run the retention once a day while the service runs.")


class PagesSettings(_Section):
    """What the pages show."""

    minimum_n: int = Field(
        default=MINIMUM_N, ge=1, description="Fewest sessions a shown figure may stand on."
    )
    language: Literal["vi", "en"] = Field(default="vi", description="Language until the reader chooses one.")
    session_hours: float = Field(default=8.0, gt=0, le=24, description="Life of a login.")
    idle_minutes: float = Field(
        default=30.0, gt=0, le=480, description="A login ends when nothing was asked for this long."
    )
    max_upload_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description="Largest file of ballots, places or transactions that a page takes.",
    )


class AlertsSettings(_Section):
    """Whether alerts are looked for, and how they leave the centre."""

    enabled: bool = Field(default=False, description="Look for alerts once a day and send what is waiting.")
    false_alarms_a_month: float = Field(
        default=1.0, gt=0, le=31, description="False alarms tolerated a month, over all counters together."
    )
    public_url: str = Field(
        default="", pattern=r"^(https?://[^\s?#]+)?$", description="Address of the pages, for links in mails."
    )
    smtp_host: str = Field(default="", max_length=255, description="Mail server; empty: no mails.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_security: Literal["starttls", "tls"] = Field(
        default="starttls", description="How the connection is encrypted; it always is."
    )
    smtp_ca: Path | None = Field(
        default=None, description="PEM file of the server's authority, if not public."
    )
    smtp_user: str = Field(default="", max_length=255, description="Name at the mail server; empty: none.")
    smtp_password: SecretStr | None = Field(default=None, description="Its password.")
    mail_from: str = Field(default="", max_length=254, description="Sender of the mails.")
    mail_domains: tuple[str, ...] = Field(
        default=(), description="Domains that mails may go to; empty: no mails."
    )
    webhook_hosts: tuple[str, ...] = Field(
        default=(), description="`host` or `host:port` that may be called, by https; empty: none."
    )
    webhook_ca: Path | None = Field(default=None, description="PEM file of their authority, if not public.")
    timeout_s: float = Field(default=10.0, gt=0, le=30, description="Longest wait for a server's answer.")

    @model_validator(mode="after")
    def _a_server_needs_a_sender(self) -> Self:
        if self.smtp_host and not self.mail_from:
            msg = "alerts.smtp_host is set: set alerts.mail_from, too"
            raise ValueError(msg)
        return self


class DemoSettings(_Section):
    """Switches for demonstrations; never set them where citizens are served."""

    enabled: bool = Field(
        default=False, description="Allow a lower minimum_n and show the running day; adds a banner."
    )
    arrivals_token: SecretStr | None = Field(
        default=None, min_length=8, description="Bearer token of GET /v1/arrivals; needs demo.enabled."
    )

    @model_validator(mode="after")
    def _token_needs_the_switch(self) -> Self:
        if self.arrivals_token is not None and not self.enabled:
            msg = "arrivals_token shows single sessions: set enabled = true in a demonstration, or remove it"
            raise ValueError(msg)
        return self


class Settings(BaseSettings):
    """All settings of the central program."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    ingest: IngestSettings = IngestSettings()
    sources: SourcesSettings = SourcesSettings()
    log: LogSettings = LogSettings()
    erasure: ErasureSettings = ErasureSettings()
    retention: RetentionSettings = RetentionSettings()
    pages: PagesSettings = PagesSettings()
    alerts: AlertsSettings = AlertsSettings()
    demo: DemoSettings = DemoSettings()
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file (which arrives as arguments)."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @property
    def log_dir(self) -> Path:
        """Folder of the centre's keys and of the log's newest checkpoint."""
        return self.log.data_dir or self.database.data_dir.parent / "log"

    @model_validator(mode="after")
    def _disclosure(self) -> Self:
        if self.pages.minimum_n < MINIMUM_N and not self.demo.enabled:
            msg = (
                f"pages.minimum_n below {MINIMUM_N} is for demonstrations only: "
                "set demo.enabled = true, or raise it"
            )
            raise ValueError(msg)
        return self


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings from a TOML file (optional) and the environment.

    Raises:
        SettingsInvalid: The file cannot be read, or a key is unknown or has a wrong value.
    """
    content: dict[str, Any] = {}
    text = ""
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
            content = tomllib.loads(text)
        except FileNotFoundError:
            raise SettingsInvalid(f"{path}: no such file; 'hailong central init' writes one") from None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsInvalid(f"{path}: cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise SettingsInvalid(f"{path}: not TOML: {error}") from error
    _reject_unknown_environment()
    try:
        return Settings(**content)
    except ValidationError as error:
        raise SettingsInvalid(_explain(error, path, text)) from None


def _reject_unknown_environment() -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    for variable in os.environ:
        if variable.upper().startswith(ENV_PREFIX):
            section = ENV_PREFIX + variable[len(ENV_PREFIX) :].upper().split("__")[0]
            if section not in known:
                raise SettingsInvalid(f"{variable}: there is no such setting; correct or unset it")


def _explain(error: ValidationError, path: Path | None, text: str) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        keys = [str(part) for part in item["loc"]]
        name = ".".join(keys) or "settings"
        place = str(path) if path is not None else "environment"
        number = _line_of(text, keys)
        where = f"{place}, line {number}" if number else place
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key '{name}': remove it or correct its spelling")
        else:
            lines.append(f"{where}: '{name}': {item['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)


def _line_of(text: str, keys: list[str]) -> int | None:
    """Find the line of a key, knowing `[section]` headers and `key = value` lines only."""
    section: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.split("#", 1)[0].strip()
        if bare.startswith("["):
            section = [part.strip() for part in bare.strip("[]").split(".")]
            if section == keys:
                return number
        elif "=" in bare and [*section, *bare.split("=", 1)[0].strip().split(".")] == keys:
            return number
    return None
