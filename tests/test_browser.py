from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from setup.layout import ROOT
from tests.browser import stays_on_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.browser import Axe, NewPage

_PAGE = """<!doctype html><html lang="vi"><head><meta charset="utf-8"><title>Thử</title></head>
<body><main><h1>Hài lòng</h1>{body}</main></body></html>"""


class _Strict(BaseHTTPRequestHandler):
    """Serves one page under the policy that our own pages have."""

    def do_GET(self) -> None:
        body = '<img src="/x.png">' if self.path == "/bad" else "<p>Mời ông bà ngồi.</p>"
        content = _PAGE.format(body=body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", "default-src 'self'")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of the base class
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Strict)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_axe_finds_the_missing_text_under_a_strict_policy(page: Page, address: str, axe: Axe) -> None:
    page.goto(f"{address}/bad")
    assert [violation.rule for violation in axe(page)] == ["image-alt"]


def test_axe_passes_a_sound_page(page: Page, address: str, axe: Axe) -> None:
    page.goto(address)
    assert page.inner_text("h1") == "Hài lòng"
    assert axe(page) == ()


def test_visitor_asks_for_the_language_of_the_page(new_page: NewPage, address: str) -> None:
    page = new_page(locale="en-GB", java_script_enabled=False)
    with page.expect_request("**/*") as request:
        page.goto(address)
    assert request.value.headers["accept-language"].startswith("en-GB")


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:80/", True),
        ("data:text/plain,x", True),
        ("https://example.org/x.js", False),
        ("http://192.0.2.1/", False),
        ("http://127.0.0.1.example.org/", False),
        ("file:///etc/passwd", False),
    ],
)
def test_loopback_is_told_from_elsewhere(url: str, local: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert stays_on_loopback(url) is local


def test_request_beyond_loopback_fails_the_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest('pytest_plugins = ["tests.browser"]')
    pytester.makepyfile(
        """
        def test_escape(page):
            page.set_content('<img src="http://192.0.2.1/x.png">')
            page.wait_for_timeout(200)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*beyond loopback: http://192.0.2.1/x.png*"])
