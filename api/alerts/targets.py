"""Where alerts may go: mail addresses of allowed domains, and https addresses of allowed hosts.

The centre stands in a network that others cannot reach. A webhook's address is typed by somebody outside of
the administration of that network, so it must not become a way to ask whatever stands beside the centre:
hosts are allowed one by one in the settings, addresses are resolved once and checked, the connection goes to
the very address that was checked, and no redirection is followed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from api.errors import ApiError, CaseRefused
from api.settings import AlertsSettings

_MAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)")
_LONGEST_URL: Final = 500
HTTPS_PORT: Final = 443


class TargetRefused(ApiError):  # noqa: N818 - named for what happened
    """A message may not go where its subscription says."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook's address, taken apart.

    Attributes:
        path: With the query, beginning with a slash.
    """

    host: str
    port: int
    path: str


def mail_target(text: str, settings: AlertsSettings) -> str:
    """Return a mail address that may be written to.

    Raises:
        CaseRefused: It is none, or of a domain that the settings do not name.
    """
    found = _MAIL.fullmatch(text.strip())
    if found is None:
        raise CaseRefused("This is no mail address.")
    if found[1].lower() not in {domain.lower() for domain in settings.mail_domains}:
        raise CaseRefused("Mails may not go to this domain: ask the administrator (alerts.mail_domains).")
    return found[0]


def webhook_target(text: str, settings: AlertsSettings) -> Endpoint:
    """Return a webhook's address that may be called.

    Raises:
        CaseRefused: It is no plain https address, or of a host that the settings do not name.
    """
    wanted = text.strip()
    try:
        parts = urlsplit(wanted)
        port = parts.port or HTTPS_PORT
    except ValueError:
        raise CaseRefused("This is no https address.") from None
    plain = len(wanted) <= _LONGEST_URL and wanted.isascii() and wanted.isprintable() and " " not in wanted
    odd = parts.username is not None or parts.password is not None or parts.fragment or "\\" in wanted
    if not plain or odd or parts.scheme != "https" or not parts.hostname:
        raise CaseRefused("This is no https address.")
    host = parts.hostname.lower()
    allowed = {_host_and_port(item) for item in settings.webhook_hosts}
    if (host, port) not in allowed:
        raise CaseRefused("This host may not be called: ask the administrator (alerts.webhook_hosts).")
    path = parts.path or "/"
    return Endpoint(host, port, f"{path}?{parts.query}" if parts.query else path)


def resolved(endpoint: Endpoint) -> str:
    """Return the one address that a connection may go to.

    Loopback may be called where the settings name it as such, never because a name points to it.

    Raises:
        TargetRefused: The host has no address, or one that no webhook has.
        OSError: The name cannot be resolved now.
    """
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(item[4][0]) for item in found]
    literal = _is_address(endpoint.host)
    for address in addresses:
        inner = getattr(address, "ipv4_mapped", None) or address
        never = inner.is_link_local or inner.is_multicast or inner.is_unspecified or inner.is_reserved
        if never or (inner.is_loopback and not literal):
            raise TargetRefused(f"{endpoint.host} has the address {address}: nothing is sent there")
    if not addresses:
        raise TargetRefused(f"{endpoint.host} has no address: nothing is sent there")
    return str(addresses[0])


def _host_and_port(item: str) -> tuple[str, int]:
    parts = urlsplit(f"//{item}")
    return (parts.hostname or "").lower(), parts.port or HTTPS_PORT


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
