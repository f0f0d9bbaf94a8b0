"""A real browser for page tests: it may talk to loopback only, and axe-core reads its pages.

Use the fixtures `page` (one page, Vietnamese), `new_page` (other languages, sizes, no
script) and `axe`. They come from here through `conftest.py`; nothing needs importing.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import pytest

from setup import chromium as unpacked
from setup.layout import NPM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, CDPSession, Page, Route

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # the suite runs as root too, where Chromium's sandbox refuses to start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # What the browser itself might ask for gets no address either.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]",
)
_RUN_AXE: Final = "axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)"
_LOCAL_SCHEMES: Final = frozenset({"about", "blob", "data"})


def stays_on_loopback(url: str) -> bool:
    """Tell whether a request to this address never leaves the machine."""
    parts = urlsplit(url)
    if parts.scheme in _LOCAL_SCHEMES or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Violation:
    """One accessibility rule that a page breaks."""

    rule: str
    impact: str
    help: str
    elements: tuple[str, ...]


class NewPage(Protocol):
    """Opens a page in a fresh context; keyword arguments go to Playwright's `new_context`."""

    def __call__(self, *, locale: str = "vi-VN", **options: Any) -> Page: ...


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The executable of a real Chromium."""
    found = unpacked.executable()
    if found is None:
        pytest.fail("no Chromium: run `make test` once (it unpacks one), or install the distribution's")
    return found


# Not of the session: Playwright's synchronous interface keeps an event loop running in this
# thread, and a test of another module that calls asyncio.run() would fail.
@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """A headless Chromium with an empty profile."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - slow to import, few tests need it

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=list(_FLAGS), env=dict(unpacked.environment())
        )
        yield launched
        launched.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Open pages that fail the test when anything they ask for would leave loopback."""
    escapes: list[str] = []
    contexts = []

    def refuse(route: Route) -> None:
        escapes.append(route.request.url)
        route.abort()

    def watch_socket(url: str) -> None:
        if not stays_on_loopback(url.replace("ws", "http", 1)):
            escapes.append(url)

    def open_page(*, locale: str = "vi-VN", **options: Any) -> Page:
        context = browser.new_context(locale=locale, service_workers="block", **options)
        contexts.append(context)
        context.route(lambda url: not stays_on_loopback(url), refuse)
        page = context.new_page()
        page.on("websocket", lambda socket: watch_socket(socket.url))
        return page

    yield open_page
    for context in contexts:
        context.close()
    if escapes:
        pytest.fail(f"the page asked for something beyond loopback: {', '.join(escapes)}")


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """One page of a Vietnamese visitor."""
    return new_page()


class Axe(Protocol):
    """Checks a page with axe-core; an empty tuple means that no rule is broken."""

    def __call__(self, page: Page) -> tuple[Violation, ...]: ...


@pytest.fixture(scope="session")
def axe() -> Axe:
    """Check a page with axe-core; an empty tuple means that no rule is broken."""
    script = NPM / "axe-core" / "axe.min.js"
    if not script.is_file():
        pytest.fail("no axe-core: run `make test` once, it fetches the pinned package")
    source = script.read_text("utf-8")

    def check(page: Page) -> tuple[Violation, ...]:
        # The debugger evaluates it in the page, which a strict content security policy does not see.
        devtools = page.context.new_cdp_session(page)
        _evaluate(devtools, source)
        violations = _evaluate(devtools, _RUN_AXE)
        devtools.detach()
        return tuple(
            Violation(
                rule=found["id"],
                impact=found["impact"] or "",
                help=found["help"],
                elements=tuple(node["html"] for node in found["nodes"]),
            )
            for found in violations
        )

    return check


def _evaluate(devtools: CDPSession, expression: str) -> Any:
    answer = devtools.send(
        "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
    )
    if "exceptionDetails" in answer:
        pytest.fail(f"axe-core did not run: {answer['exceptionDetails']}")
    return answer["result"].get("value")
