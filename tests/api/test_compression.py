"""Figures travel compressed; secrets and persons do not, and no token of a form is seen twice."""

from __future__ import annotations

import asyncio
import gzip
import re
from http import HTTPStatus

import httpx
import pytest
from fastapi import Request

from api.accounts import Account, Accounts, Login
from api.app import build_app
from api.authorization import Action, Role
from api.compression import SMALLEST_BYTES, compresses
from api.database import Database
from api.form_tokens import fits, form_token
from api.metrics import Metrics
from api.pages.access import PageRefused, check_form
from api.pages.rendering import Pages
from api.settings import Settings
from tests.api.test_access import entries

OF_FIGURES = {Action.VIEW_FIGURES, Action.LOAD_PAGE_PARTS, Action.READ_OPEN_DATA, Action.WATCH_SERVICE}
"""What may be seen by readers of figures, or by everybody."""
LOGIN = Login(Account("lan", Role.OBSERVER, must_change=False, areas=(), counters=()), "the session's secret")


def answers(encoding: str, *paths: str) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(build_app(Settings()))
        async with httpx.AsyncClient(transport=transport, base_url="http://centre") as client:
            return [await client.get(path, headers={"Accept-Encoding": encoding}) for path in paths]

    return asyncio.run(ask())


def test_only_answers_without_a_secret_are_compressed() -> None:
    chosen = {
        (entry.path, getattr(entry.guard, "action", None))
        for entry in entries()
        if entry.method == "GET" and compresses(re.sub(r"{[^}]+}", "x", entry.path))
    }
    assert {action for _, action in chosen} <= OF_FIGURES
    assert {"/", "/counters/{code}", "/places/{place}", "/ranking.svg", "/figures.csv"} <= {
        path for path, _ in chosen
    }


@pytest.mark.parametrize(
    "path",
    [
        *("/login", "/password", "/users", "/edges", "/alerts", "/imports", "/organisation", "/formula"),
        *("/privacy", "/privacy/consents", "/privacy/consents/x", "/receipt", "/receipt/check"),
        *("/v1/batches", "/v1/arrivals", "/metrics", "/counters/x/actions", "/proofs/entries/1"),
        *("/report.pdf", "/figures.xlsx", "//", "/places/a/b/c.svg"),
    ],
)
def test_what_is_not_of_figures_is_never_compressed(path: str) -> None:
    assert not compresses(path)


def test_an_answer_is_compressed_for_those_who_ask() -> None:
    (plain,) = answers("identity", "/style.css")
    packed, schema = answers("gzip", "/style.css", "/v1/openapi.json")
    assert packed.content == plain.content
    assert plain.headers.get("content-encoding") is None
    assert packed.headers["content-encoding"] == schema.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 0.5 * len(plain.content)
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"  # caches keep both
    assert packed.headers["x-content-type-options"] == "nosniff"
    assert len(gzip.compress(plain.content)) > SMALLEST_BYTES  # or the test would show nothing


def test_short_answers_stay_as_they_are() -> None:
    (icon,) = answers("gzip", "/icon.svg")
    assert len(icon.content) < SMALLEST_BYTES
    assert icon.headers.get("content-encoding") is None


def test_a_token_is_good_for_its_session_and_no_other() -> None:
    one, other = form_token("a"), form_token("a")
    assert one != other
    assert fits("a", one)
    assert fits("a", other)
    assert not any(
        fits("a", wrong)
        for wrong in ("", "a", ".", "x", "ẩ.ẩ", "\ud800.x", one[:-1], one + "0", form_token("b"))
    )
    nonce, _, proof = one.partition(".")
    assert not fits("a", f"{other.partition('.')[0]}.{proof}")
    assert not fits("a", nonce)


def test_every_page_has_a_token_of_its_own_and_never_the_secret() -> None:
    database = Database("postgresql:///unused")
    pages = Pages(Settings(), database, Accounts(database), Metrics())
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    shown = []
    for _ in range(2):
        page = pages.message(Request(scope), HTTPStatus.OK, "Not found", "Not found", LOGIN)
        text = bytes(page.body).decode()
        assert LOGIN.csrf not in text
        (token,) = re.findall(r'name="csrf" value="([^"]+)"', text)
        check_form(LOGIN, token)
        shown.append(token)
    assert shown[0] != shown[1]
    with pytest.raises(PageRefused):
        check_form(LOGIN, LOGIN.csrf)
