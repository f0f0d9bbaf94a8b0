"""Sends messages: mails over an encrypted connection, and signed calls of other programs."""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx

from api.alerts.outbox import Message
from api.alerts.subscriptions import Way
from api.alerts.targets import HTTPS_PORT, Endpoint, TargetRefused, mail_target, resolved, webhook_target
from api.alerts.words import letter, sentence, subject
from api.errors import ApiError, CaseRefused
from api.settings import AlertsSettings

SIGNATURE: Final = "Hailong-Signature"
"""`t=SECONDS,v1=HEX`: HMAC-SHA256 over `SECONDS.BODY` with the key of the subscription."""
_NAME: Final = "hailong"


class SendingFailed(ApiError):  # noqa: N818 - named for what happened
    """A message did not go now; the next attempt may do better."""


Resolve = Callable[[Endpoint], str]


def send(message: Message, settings: AlertsSettings, *, resolve: Resolve = resolved) -> None:
    """Send a message by the way of its subscription.

    Args:
        message: With at least one alert.
        settings: Servers, senders, hosts that may be called.
        resolve: Gives the address of a host.

    Raises:
        TargetRefused: It may not go there (any more).
        SendingFailed: The server did not take it.
    """
    try:
        if message.subscription.wish.way is Way.MAIL:
            _mail(message, settings)
        else:
            _call(message, settings, resolve)
    except CaseRefused as error:
        raise TargetRefused(str(error)) from error


def letter_of(message: Message, settings: AlertsSettings) -> EmailMessage:
    """Return the mail of a message; the same message gives the same number.

    Raises:
        CaseRefused: The address is not allowed.
    """
    wish = message.subscription.wish
    page = f"{settings.public_url.rstrip('/')}/alerts" if settings.public_url else ""
    found = EmailMessage()
    found["From"] = settings.mail_from
    found["To"] = mail_target(wish.target, settings)
    found["Subject"] = subject(len(message.alerts), wish.language)
    found["Date"] = format_datetime(message.made_at.astimezone(UTC))
    found["Message-ID"] = f"<{message.message_id}@{_NAME}.invalid>"
    found["Auto-Submitted"] = "auto-generated"
    found.set_content(letter(message.alerts, wish.language, page))
    return found


def body_of(message: Message) -> bytes:
    """Return what a program is told: kind, counter, sentence and printed values of each alert."""
    language = message.subscription.wish.language
    told = {
        "message": str(message.message_id),
        "made_at": message.made_at.astimezone(UTC).isoformat(),
        "alerts": [
            {
                "alert": str(alert.alert_id),
                "kind": alert.kind.value,
                "counter": alert.counter,
                "text": sentence(alert, language),
                "values": dict(alert.values),
            }
            for alert in message.alerts
        ],
    }
    return json.dumps(told, ensure_ascii=False).encode()


def signature(key: bytes, body: bytes, at: datetime) -> str:
    """Return the value of the signature's header."""
    seconds = str(int(at.timestamp()))
    return f"t={seconds},v1={hmac.new(key, f'{seconds}.'.encode() + body, hashlib.sha256).hexdigest()}"


def _mail(message: Message, settings: AlertsSettings) -> None:
    if not settings.smtp_host:
        raise SendingFailed("no mail server is set: set alerts.smtp_host")
    found = letter_of(message, settings)
    try:
        with _connected(settings) as server:
            if settings.smtp_user and settings.smtp_password is not None:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            server.send_message(found)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise SendingFailed(f"the mail server did not take it ({_said(error)})") from error


def _connected(settings: AlertsSettings) -> smtplib.SMTP:
    context = _tls(settings.smtp_ca)
    place = (settings.smtp_host, settings.smtp_port)
    if settings.smtp_security == "tls":
        return smtplib.SMTP_SSL(*place, local_hostname=_NAME, timeout=settings.timeout_s, context=context)
    server = smtplib.SMTP(*place, local_hostname=_NAME, timeout=settings.timeout_s)
    try:
        server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server


def _call(message: Message, settings: AlertsSettings, resolve: Resolve) -> None:
    endpoint = webhook_target(message.subscription.wish.target, settings)
    key = message.subscription.signing_key
    assert key is not None  # noqa: S101 - the table has a key for every webhook
    body = body_of(message)
    try:
        address = resolve(endpoint)
        url = httpx.URL(
            scheme="https", host=address, port=endpoint.port, raw_path=endpoint.path.encode("ascii")
        )
        headers = {
            "Host": endpoint.host if endpoint.port == HTTPS_PORT else f"{endpoint.host}:{endpoint.port}",
            "Content-Type": "application/json",
            "User-Agent": _NAME,
            "Idempotency-Key": str(message.message_id),
            SIGNATURE: signature(key, body, datetime.now(UTC)),
        }
        with (
            httpx.Client(
                verify=_tls(settings.webhook_ca),
                timeout=settings.timeout_s,
                follow_redirects=False,
                trust_env=False,
            ) as client,
            client.stream(
                "POST", url, content=body, headers=headers, extensions={"sni_hostname": endpoint.host}
            ) as answer,
        ):
            status = answer.status_code
    except (OSError, httpx.HTTPError, ValueError) as error:
        raise SendingFailed(f"the host did not take it ({_said(error)})") from error
    if not HTTPStatus(200) <= status < HTTPStatus(300):
        raise SendingFailed(f"the host answered {status}")


def _tls(authority: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=None if authority is None else str(authority))


def _said(error: Exception) -> str:
    """Return what failed without what a server wrote: that is somebody else's text."""
    code = getattr(error, "smtp_code", None)
    return type(error).__name__ if code is None else f"{type(error).__name__} {code}"
