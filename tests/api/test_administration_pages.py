"""The administrator's pages of organisation, samples and formula: who may, what is kept and said."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import httpx
import pytest

from api.accounts import Accounts
from api.authorization import HUMAN_ROLES, Role
from api.database import Database
from api.errors import ImportRunning
from api.index.formula import REFUSALS, as_toml, built_in, decided_formulas, kept_formulas, parse
from api.language import gettext_of
from api.organisation.sampling import find_plan, verify_sample
from api.organisation.tree import tree_of
from api.pages.tried_files import TriedFiles
from api.trends import local_today
from tests.api.running import PASSWORD, running

TREE = """\
code;level;name_vi;name_en;parent;valid_from
tinh;province;Tỉnh Sông Hồ;Song Ho province;;
sen-ho;commune;Phường Sen Hồ;Sen Ho ward;tinh;
mc-1;unit;Một cửa Sen Hồ;Sen Ho unit;sen-ho;
mc-2;unit;Một cửa Bến Nứa;Ben Nua unit;sen-ho;
lac;unit;Lạc;;khong-co;
"""
TRANSACTIONS = "unit;day;transaction\n" + "".join(
    f"mc-{unit};{day:02d}/03/2026;H29.{unit}.{day:04d}\n" for unit in (1, 2) for day in range(1, 21)
)
PLAN = {"name": "quy-1", "first": "2026-03-01", "last": "2026-03-31", "level": "commune", "wanted": "12"}
SEED = "xổ số 2026-04-02: 71493"


@pytest.fixture
def client(dsn: str) -> Iterator[httpx.Client]:
    with (
        running(dsn) as central,
        httpx.Client(base_url=central.address, timeout=60, trust_env=False) as found,
    ):
        yield found


def enter(client: httpx.Client, database: Database, role: Role) -> str:
    """Log somebody of a role in and return the token of their forms."""
    accounts = Accounts(database)
    cookie = accounts.change_password(role.value, accounts.create(role.value, role, actor="t"), PASSWORD)
    client.headers["Cookie"] = f"hailong_language=en; hailong_session={cookie}"
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/organisation").text)
    assert token is not None
    return token[1]


def upload(client: httpx.Client, path: str, csrf: str, text: str, **more: str) -> httpx.Response:
    return client.post(path, data={"csrf": csrf, **more}, files={"file": ("tệp.csv", text.encode())})


def leaves(database: Database, kind: str) -> list[Mapping[str, object]]:
    with database.transaction() as connection:
        rows = connection.execute("SELECT body FROM central_log WHERE kind = %s ORDER BY idx", (kind,))
        return [json.loads(bytes(row[0])) for row in rows]


def token_of(page: str) -> str:
    """Return what the form asks a tried file for with."""
    found = re.search(r'name="tried" value="([^"]+)"', page)
    assert found is not None, page[-2000:]
    return found[1]


def test_a_tree_is_tried_first_and_then_taken(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.ADMINISTRATOR)
    trial = upload(client, "/organisation", csrf, TREE, trial="1")
    assert "Nothing was written: tệp.csv · Rows 5 · Kept 4 · Refused 1" in trial.text
    assert re.search(r"<th scope=\"row\">\s*6</th>.*khong-co", trial.text), (
        "line and value of the refused row"
    )
    assert leaves(database, "organisation-import") == []
    first = token_of(upload(client, "/organisation", csrf, TREE, trial="1").text)
    second = token_of(upload(client, "/organisation", csrf, TREE, trial="1").text)
    for token in (first, "x"):
        gone = client.post("/organisation", data={"csrf": csrf, "tried": token})
        assert (gone.status_code, "no longer kept" in gone.text) == (422, True), "another one took its place"
    done = client.post("/organisation", data={"csrf": csrf, "tried": second})
    (leaf,) = leaves(database, "organisation-import")
    assert (leaf["kept"], leaf["refused"], leaf["actor"]) == (4, 1, "administrator")
    assert "Imported: tệp.csv · Rows 5 · Kept 4" in done.text
    again = client.post("/organisation", data={"csrf": csrf, "tried": second})
    assert (again.status_code, "no longer kept" in again.text) == (422, True)
    with database.transaction() as connection:
        assert set(tree_of(connection, local_today()).nodes) == {"tinh", "sen-ho", "mc-1", "mc-2"}
    page = client.get("/organisation?node=sen-ho").text
    assert "Ben Nua unit" in page
    assert "Song Ho province</a>" in page, "the way up"
    assert "Phường Sen Hồ" in client.get("/organisation?lang=vi&node=tinh").text
    tried = upload(client, "/organisation/transactions", csrf, TRANSACTIONS, trial="1").text
    assert 'action="/organisation/transactions"' in tried
    form = {"csrf": csrf, "tried": token_of(tried)}
    # What was tried by one person is not another's to import.
    other = enter(client, database, Role.DATA_ENTRY)
    stolen = client.post("/organisation/transactions", data=form | {"csrf": other})
    assert (stolen.status_code, "no longer kept" in stolen.text) == (422, True)
    nothing = upload(client, "/organisation/transactions", other, "unit;day\nx;y\n", trial="1").text
    assert 'name="tried"' not in nothing, "there is nothing to take"
    assert [leaf["what"] for leaf in leaves(database, "organisation-import")] == ["tree"]


def waiting() -> set[threading.Thread]:
    """Return the threads that only wait for a time."""
    return {thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)}


def test_tried_files_are_few_small_and_gone_in_time(tmp_path: Path) -> None:
    file = tmp_path / "tệp.csv"
    file.write_text("mã;cấp\n")
    files = TriedFiles(kept_s=1.0)
    before = waiting()
    tokens = [files.keep(file, file.name, f"người {number}") for number in range(17)]
    assert [bool(token) for token in tokens] == [True] * 16 + [False]
    assert len(waiting() - before) == 1, "one waits, however often files are tried"
    with pytest.raises(ImportRunning), files.taken(tokens[0], "người 0"):
        raise ImportRunning("Another import of ballots runs: repeat this one in a moment.")
    with files.taken(tokens[0], "người 0") as found:
        assert (found.path.read_text(), found.name) == (file.read_text(), "tệp.csv")
        assert found.path.parent.stat().st_mode & 0o077 == 0
    assert not found.path.exists()
    assert files.size_bytes == 15 * file.stat().st_size
    began = time.monotonic()
    while files.size_bytes and time.monotonic() < began + 10:
        time.sleep(0.1)
    assert files.size_bytes == 0, "nobody asked: they went by themselves"
    assert not list(found.path.parent.iterdir())


PLACE = {
    "code": "mc-3",
    "level": "unit",
    "name_vi": "Một cửa Đình Làng",
    "name_en": "Dinh Lang unit",
    "parent": "sen-ho",
}


def change_on_the_page(client: httpx.Client, database: Database, csrf: str) -> None:
    """Add a place and change it, as files would."""

    def change(**fields: str) -> httpx.Response:
        return client.post("/organisation/place", data={"csrf": csrf, **PLACE, **fields})

    made = change()
    assert (made.status_code, made.headers["location"]) == (303, "/organisation?node=mc-3")
    page = client.get("/organisation?node=mc-3").text
    assert 'value="Một cửa Đình Làng"' in page, "the form has what it is now"
    assert change(name_en="Dinh Lang desk").status_code == 303, "no new first day: a correction"
    assert change(parent="tinh", valid_from="2026-10-01").status_code == 303
    with database.transaction() as connection:
        then, now = (tree_of(connection, date(2026, month, 30)).nodes["mc-3"] for month in (9, 10))
    assert (then.name_en, then.parent, now.name_en, now.parent) == (
        "Dinh Lang desk", "sen-ho", "Dinh Lang unit", "tinh",
    )  # fmt: skip
    wrong = change(code="mc-4", parent="khong-co")
    assert "Nothing was written: mc-4" in wrong.text
    assert re.search(r"khong-co</td>", wrong.text), "what was refused"
    assert 'value="mc-4"' in wrong.text, "nobody types twice"
    logged = leaves(database, "organisation-import")
    assert [leaf["kept"] for leaf in logged] == [4, 1, 1, 1, 1]
    enter(client, database, Role.OBSERVER)
    page = client.get("/organisation?node=mc-3").text
    assert "/organisation/place" not in page
    assert "Dinh Lang unit" in page
    assert client.post("/organisation/place", data=PLACE).status_code == 403


def test_a_day_shows_the_tree_of_that_day_and_the_page_changes_it(
    client: httpx.Client, database: Database
) -> None:
    csrf = enter(client, database, Role.ADMINISTRATOR)
    upload(client, "/organisation", csrf, TREE)
    moved = "code;level;name_vi;name_en;parent;valid_from\nmc-2;unit;Một cửa mới;New unit;tinh;01/07/2025\n"
    upload(client, "/organisation", csrf, moved)
    before, after = (
        client.get(f"/organisation?day={day}&node=sen-ho").text for day in ("2025-06-30", "2025-07-01")
    )
    assert "Ben Nua unit" in before
    assert "Ben Nua unit" not in after
    assert "01/07/2025" in client.get("/organisation?node=mc-2").text
    assert client.get("/organisation?day=yesterday&node=%00").status_code == 200
    change_on_the_page(client, database, csrf)


def test_a_sample_is_planned_drawn_and_worked_out_again(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.ADMINISTRATOR)
    upload(client, "/organisation", csrf, TREE)
    assert "Kept 40" in upload(client, "/organisation/transactions", csrf, TRANSACTIONS).text
    planned = client.post("/samples", data={"csrf": csrf, **PLAN})
    assert (planned.status_code, planned.headers["location"]) == (303, "/samples/quy-1")
    assert "waits for its seed" in client.get("/samples").text
    short = client.post("/samples/quy-1/draw", data={"csrf": csrf, "seed": "1"})
    assert (short.status_code, "A seed has at least 8 characters." in short.text) == (422, True)
    assert client.post("/samples/quy-1/draw", data={"csrf": csrf, "seed": SEED}).status_code == 303
    page = client.get("/samples/quy-1").text
    assert "every transaction is the one that the seed draws" in page
    assert SEED in page
    assert "0.0%" in page, "nobody has answered yet"
    again = client.post("/samples/quy-1/draw", data={"csrf": csrf, "seed": SEED})
    assert (again.status_code, "a plan is drawn once" in again.text) == (422, True)
    assert verify_sample(database, "quy-1").drawn == 12
    with database.transaction() as connection:
        assert find_plan(connection, "quy-1").seed == SEED
        connection.execute("DELETE FROM sampled_transactions WHERE position = 1 AND unit = 'mc-1'")
    page = client.get("/samples/quy-1").text
    assert "NOT as planned and logged" in page
    assert "the sample is not the one that the seed draws" in page


CHANGES: Sequence[Mapping[str, str]] = (
    {"name": "Quý 1!"},
    {"first": "2026-04-01", "last": "2026-03-01"},
    {"first": "hôm qua"},
    {"last": "9999-12-31"},
    {"wanted": ""},
    {"wanted": "-1"},
    {"wanted": "²"},
    {"method": "random"},
    {"minimum": "1e9"},
)


def test_plans_that_say_too_little_are_refused(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.ADMINISTRATOR)
    for change in CHANGES:
        answer = client.post("/samples", data={"csrf": csrf, **PLAN, **change})
        assert answer.status_code == 422, change
        assert "State a name" in answer.text, change
    assert leaves(database, "sample-planned") == []


def test_a_plan_that_is_not_there_is_not_found(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.ADMINISTRATOR)
    assert client.get("/samples/nothing").status_code == 404
    assert client.get("/samples/%00").status_code == 422
    assert client.post("/samples/nothing/draw", data={"csrf": csrf, "seed": SEED}).status_code == 404


FAULTS = (
    ("version = 2", "version = 7"),
    ("version = 2", 'version = "hai"'),
    ('"officer" = 3', '"officer" = -3'),
    ('"officer" = 3', '"officer" = 3\n"thái độ" = 1'),
    ('"officer" = 3\n', ""),
    ('overall = "rating"', 'overall = "mean"'),
    ("-01\n", "-02\n"),
    ("version = 2", "version 2"),
)
REFUSED = {
    "en": (
        "the newest formula is version 1: give the new one 2.",
        "the formula, version: write a whole number.",
        "the formula, factors.officer: write at least 0.",
        "the formula, factors.thái độ.[key]: write one of 'access'",
        "name each factor and each channel",
        "the formula, overall: write one of 'rating' or 'factors'.",
        "a version holds from the first day of a month",
        "the formula is no TOML: look at line 1, column 9.",
    ),
    "vi": (
        "phiên bản mới nhất của công thức là 1: hãy đánh số phiên bản mới là 2.",
        "công thức, version: hãy ghi một số nguyên.",
        "công thức, factors.officer: hãy ghi ít nhất 0.",
        "công thức, factors.thái độ.[key]: hãy ghi một trong 'access'",
        "hãy ghi mọi yếu tố và mọi kênh",
        "công thức, overall: hãy ghi một trong 'rating' or 'factors'.",
        "phiên bản có hiệu lực từ ngày đầu tháng",
        "công thức không phải TOML: xem dòng 1, cột 9.",
    ),
}


def test_every_refusal_of_a_formula_has_its_vietnamese() -> None:
    for text in REFUSALS.values():
        translated = gettext_of("vi")(text)
        assert translated != text
        assert set(re.findall(r"{\w+}", translated)) == set(re.findall(r"{\w+}", text))


def test_a_new_formula_needs_its_reason_and_stands_in_the_log(
    client: httpx.Client, database: Database
) -> None:
    csrf = enter(client, database, Role.ADMINISTRATOR)
    page = client.get("/formula").text
    draft = re.search(r"<textarea id=\"document\"[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert draft is not None
    text = draft[1].replace("&#34;", '"').replace('"officer" = 1\n', '"officer" = 3\n')
    bare = client.post("/formula", data={"csrf": csrf, "document": text, "reason": "vì thế"})
    assert (bare.status_code, "the reason stands in the log" in bare.text) == (422, True)
    broken = client.post("/formula", data={"csrf": csrf, "document": "x = ", "reason": "Quyết định 12/QĐ"})
    assert (broken.status_code, "no TOML: its end is missing" in broken.text) == (422, True)
    for lang, said in REFUSED.items():
        for change, text_of_it in zip(FAULTS, said, strict=True):
            form = {"csrf": csrf, "document": text.replace(*change), "reason": "Quyết định 12/QĐ"}
            answer = client.post(f"/formula?lang={lang}", data=form)
            assert answer.status_code == 422
            assert html.unescape(answer.text).count(text_of_it) == 1, (lang, text_of_it)
    with database.transaction() as connection:
        assert kept_formulas(connection) == ()
    done = client.post("/formula", data={"csrf": csrf, "document": text, "reason": " Quyết định 12/QĐ-UBND "})
    assert done.status_code == 200
    with database.transaction() as connection:
        (made,) = decided_formulas(connection)
    assert (made.formula.version, made.formula.factors["officer"]) == (2, 3)
    assert (made.reason, made.decided_by) == ("Quyết định 12/QĐ-UBND", "administrator")
    (leaf,) = leaves(database, "index-formula")
    assert leaf["reason"] == "Quyết định 12/QĐ-UBND"
    assert "Quyết định 12/QĐ-UBND" in client.get("/formula").text


def test_a_formula_that_was_written_out_reads_the_same() -> None:
    changed = built_in().model_copy(update={"criteria": {"access.seats": 2}, "combination": "fixed"})
    assert parse(as_toml(changed)) == changed


def test_only_those_who_may_write_find_forms_and_are_heard(client: httpx.Client, database: Database) -> None:
    for role in HUMAN_ROLES:
        csrf = enter(client, database, role)
        administrator = role is Role.ADMINISTRATOR
        assert ('id="tree-file"' in client.get("/organisation").text) is administrator
        enters = role in {Role.ADMINISTRATOR, Role.DATA_ENTRY}
        for path, text, may in (
            ("/organisation", TREE, administrator),
            ("/organisation/transactions", TRANSACTIONS, enters),
        ):
            assert (upload(client, path, csrf, text).status_code != 403) is may, (role, path)
        for path, data in (
            ("/samples", PLAN),
            ("/samples/x/draw", {"seed": SEED}),
            ("/formula", {"reason": "x"}),
        ):
            answer = client.post(path, data={"csrf": csrf, **data})
            assert (answer.status_code != 403) is administrator, (role, path)
        for path in ("/samples", "/formula"):
            assert (client.get(path).status_code == 200) is (role is not Role.DATA_ENTRY), (role, path)


def test_forms_from_elsewhere_change_nothing(client: httpx.Client, database: Database) -> None:
    enter(client, database, Role.ADMINISTRATOR)
    for path in ("/organisation", "/organisation/transactions", "/samples", "/formula"):
        assert upload(client, path, "forged", TREE).status_code == 403, path
    assert leaves(database, "organisation-import") == []
