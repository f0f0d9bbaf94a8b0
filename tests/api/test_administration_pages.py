"""The administrator's pages of organisation, samples and formula: who may, what is kept and said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import httpx
import pytest

from api.accounts import Accounts
from api.authorization import HUMAN_ROLES, Role
from api.database import Database
from api.index.formula import as_toml, built_in, decided_formulas, kept_formulas, parse
from api.organisation.sampling import find_plan, verify_sample
from api.organisation.tree import tree_of
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


def test_a_tree_is_tried_first_and_then_taken(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.ADMINISTRATOR)
    trial = upload(client, "/organisation", csrf, TREE, trial="1")
    assert "Nothing was written: tệp.csv · Rows 5 · Kept 4 · Refused 1" in trial.text
    assert re.search(r"<th scope=\"row\">\s*6</th>.*khong-co", trial.text), (
        "line and value of the refused row"
    )
    assert leaves(database, "organisation-import") == []
    done = upload(client, "/organisation", csrf, TREE)
    (leaf,) = leaves(database, "organisation-import")
    assert (leaf["kept"], leaf["refused"], leaf["actor"]) == (4, 1, "administrator")
    assert "Imported: tệp.csv" in done.text
    with database.transaction() as connection:
        assert set(tree_of(connection, local_today()).nodes) == {"tinh", "sen-ho", "mc-1", "mc-2"}
    page = client.get("/organisation?node=sen-ho").text
    assert "Ben Nua unit" in page
    assert "Song Ho province</a>" in page, "the way up"
    assert "Phường Sen Hồ" in client.get("/organisation?lang=vi&node=tinh").text


def test_a_day_shows_the_tree_of_that_day(client: httpx.Client, database: Database) -> None:
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
    assert (broken.status_code, "no TOML" in broken.text) == (422, True)
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
