"""A mail server and a web server that take alerts: real ones, encrypted, with a certificate of their own."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "hook.example"


def make_certificate(folder: Path) -> Path:
    """Write a certificate for loopback and HOST with its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@dataclass
class Mailbox:
    """What came, and how often the server turns a mail away before it takes one."""

    port: int = 0
    refusals: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    """Commands that came before the connection was encrypted."""


class _Mail(socketserver.StreamRequestHandler):
    """SMTP as far as a client needs it; nothing but STARTTLS before the encryption."""

    box: Mailbox
    tls: ssl.SSLContext
    at_once: bool

    def handle(self) -> None:
        encrypted = self.at_once
        if encrypted:
            self._encrypt()
        self._say("220 test")
        while line := self.rfile.readline():
            command = line.decode().strip()
            verb = command.split(" ", 1)[0].upper()
            if not encrypted:
                self.box.plain.append(verb)
            if verb == "EHLO":
                self._say("250-test\r\n250 8BITMIME" if encrypted else "250-test\r\n250 STARTTLS")
            elif verb == "STARTTLS" and not encrypted:
                self._say("220 go")
                self._encrypt()
                encrypted = True
            elif verb == "QUIT":
                self._say("221 bye")
                return
            elif not encrypted:
                self._say("530 encrypt first")
            elif verb == "RCPT" and self.box.refusals:
                self.box.refusals -= 1
                self._say("451 later")
            elif verb == "DATA":
                self._say("354 go")
                self.box.mails.append(self._content())
                self._say("250 taken")
            else:
                self._say("250 ok")

    def _content(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        return mail

    def finish(self) -> None:
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def _encrypt(self) -> None:
        self.rfile.close()
        self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")

    def _say(self, text: str) -> None:
        self.connection.sendall(f"{text}\r\n".encode())


@contextlib.contextmanager
def mail_server(certificate: Path, *, at_once: bool = False) -> Iterator[Mailbox]:
    """Run a mail server; `at_once` encrypts from the first byte instead of by STARTTLS."""
    box = Mailbox()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    handler = type("Handler", (_Mail,), {"box": box, "tls": tls, "at_once": at_once})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that hangs up is a case of its own
        box.port = server.server_address[1]
        with _serving(server):
            yield box


@dataclass
class Calls:
    """What a web server was called with."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    """Answers to come; 204 when there are none left."""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


class _Hook(BaseHTTPRequestHandler):
    calls: Calls

    def do_POST(self) -> None:
        self.calls.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.calls.headers.append(dict(self.headers.items()))
        status = self.calls.statuses.pop(0) if self.calls.statuses else 204
        self.send_response(status)
        if status in {301, 302, 307, 308}:
            self.send_header("Location", f"https://127.0.0.1:{self.calls.port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def hook_server(certificate: Path) -> Iterator[Calls]:
    """Run an https server that keeps what it was called with."""
    calls = Calls()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Hook,), {"calls": calls})) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # as above
        calls.port = server.server_address[1]
        with _serving(server):
            yield calls


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)
