"""Samples: allocation to the last transaction, a draw that anybody can repeat, and what a change shows."""

from __future__ import annotations

import hashlib
import random
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from api.database import Database
from api.errors import TableRefused
from api.organisation.allocation import allocate, draw, frame_hash
from api.organisation.commands import sample
from api.organisation.rates import response_rates
from api.organisation.sampling import Method, draw_sample, plan_sample, verify_sample
from api.organisation.transactions import import_transactions
from api.organisation.tree import Period
from api.organisation.tree_import import import_tree
from tests.api.survey_files import FIELDS, TITLES, Sheet, good_row, take, write_csv

RUN = CliRunner()
MARCH = Period(date(2026, 3, 1), date(2026, 4, 1))
SEED = "xo-so 2026-04-02: 71493"
TREE = """\
code,level,name_vi,parent
tinh,province,Tỉnh,
huyen,district,Huyện,tinh
xa,commune,Xã,huyen
so,unit,Sở,tinh
mc-huyen,unit,Một cửa huyện,huyen
u-main,unit,Một cửa xã,xa
mc-xa,unit,Một cửa xã hai,xa
"""
SIZES = {"so": 40, "mc-huyen": 25, "u-main": 30, "mc-xa": 10}


@pytest.mark.parametrize(
    ("sizes", "wanted", "minimum", "shares"),
    [
        ({"a": 100, "b": 300}, 40, 0, {"a": 10, "b": 30}),
        ({"a": 1, "b": 1, "c": 1}, 2, 0, {"a": 1, "b": 1, "c": 0}),
        ({"a": 10, "b": 1000}, 100, 5, {"a": 5, "b": 95}),
        ({"a": 3, "b": 1000}, 100, 5, {"a": 3, "b": 97}),
        ({"a": 3, "b": 4}, 100, 0, {"a": 3, "b": 4}),
        ({"a": 50, "b": 50}, 10, 20, {"a": 20, "b": 20}),
        ({"a": 0, "b": 5}, 3, 1, {"a": 0, "b": 3}),
        ({}, 5, 1, {}),
        ({"a": 7, "b": 7}, 0, 0, {"a": 0, "b": 0}),
    ],
)
def test_a_sample_is_shared_out(
    sizes: dict[str, int], wanted: int, minimum: int, shares: dict[str, int]
) -> None:
    assert allocate(sizes, wanted, minimum=minimum) == shares


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 5000), max_size=12),
    st.integers(0, 20_000),
    st.integers(0, 60),
)
def test_an_allocation_keeps_its_promises(sizes: dict[str, int], wanted: int, minimum: int) -> None:
    shares = allocate(sizes, wanted, minimum=minimum)
    least = {code: min(size, minimum) for code, size in sizes.items()}
    assert sum(shares.values()) == max(min(wanted, sum(sizes.values())), sum(least.values()))
    left = sum(sizes.values()) - sum(least.values())
    rest = sum(shares.values()) - sum(least.values())
    for code, size in sizes.items():
        assert least[code] <= shares[code] <= size
        if left:
            assert abs(shares[code] - least[code] - rest * (size - least[code]) / left) < 1


def test_the_draw_is_the_documented_one() -> None:
    digests = [bytes([number]) * 32 for number in range(50)]
    byhand = sorted(digests, key=lambda digest: hashlib.sha256(SEED.encode() + digest).digest())[:7]
    assert draw(SEED, digests, 7) == tuple(byhand)
    assert draw(SEED, reversed(digests), 7) == tuple(byhand), "the order of the frame does not count"
    assert draw(SEED + ".", digests, 7) != tuple(byhand)
    text = "".join(f"u\t{digest.hex()}\n" for digest in sorted(digests))
    assert frame_hash({"u": reversed(digests)}) == hashlib.sha256(text.encode()).digest()


def test_every_transaction_has_the_same_chance(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    digests = [rng.randbytes(32) for _ in range(20)]
    hits = dict.fromkeys(digests, 0)
    for number in range(2000):
        for digest in draw(f"seed {number}", digests, 5):
            hits[digest] += 1
    assert all(400 < count < 600 for count in hits.values()), "500 are expected, five deviations are 97"


@pytest.fixture
def centre(database: Database, tmp_path: Path) -> Database:
    tree = tmp_path / "tree.csv"
    tree.write_text(TREE, "utf-8")
    assert import_tree(database, tree, actor="lan").faults == ()
    rows = [
        f"{unit},2026-03-{1 + number % 28:02d},H29.{start + number:06d}"
        for start, (unit, size) in enumerate(SIZES.items())
        for number in ((start * 1000 + n) for n in range(size))
    ]
    path = tmp_path / "transactions.csv"
    path.write_text("unit,day,transaction\n" + "\n".join(rows) + "\n", "utf-8")
    done = import_transactions(
        database, path, actor="lan", data_folder=tmp_path / "log", today=date(2026, 6, 30)
    )
    assert (done.kept, done.faults) == (sum(SIZES.values()), ())
    return database


def test_a_plan_is_drawn_and_drawn_again_by_anybody(centre: Database) -> None:
    wanted = {"province": 10, "district": 5, "commune": 8}
    plan = plan_sample(centre, "quy-1", MARCH, wanted, actor="lan", minimum=3)
    assert {(item.unit, item.level, item.eligible, item.wanted) for item in plan.strata} == {
        ("so", "province", 40, 10),
        ("mc-huyen", "district", 25, 5),
        ("u-main", "commune", 30, 5),
        ("mc-xa", "commune", 10, 3),
    }
    assert verify_sample(centre, "quy-1").ok, "also before the draw"
    assert draw_sample(centre, "quy-1", SEED, actor="lan") == 23
    found = verify_sample(centre, "quy-1")
    assert (found.ok, found.drawn) == (True, 23)
    with pytest.raises(TableRefused, match="drawn once"):
        draw_sample(centre, "quy-1", "another seed", actor="lan")
    with pytest.raises(TableRefused, match="already"):
        plan_sample(centre, "quy-1", MARCH, wanted, actor="lan")


def test_equal_shares(centre: Database) -> None:
    plan = plan_sample(centre, "p", MARCH, {"commune": 16}, actor="lan", method=Method.EQUAL)
    assert {item.unit: item.wanted for item in plan.strata} == {"u-main": 8, "mc-xa": 8}
    assert verify_sample(centre, "p").ok


@pytest.mark.parametrize(
    "tamper",
    [
        "DELETE FROM sampled_transactions WHERE unit = 'so' AND position = 10",
        (
            "UPDATE sampled_transactions SET digest = (SELECT digest FROM transaction_digests t "
            "WHERE unit = 'so' AND NOT EXISTS (SELECT 1 FROM sampled_transactions s "
            "WHERE s.digest = t.digest) LIMIT 1) WHERE unit = 'so' AND position = 1"
        ),
        "UPDATE sampling_plans SET seed = 'a seed that suits us'",
        "UPDATE sampling_strata SET wanted = 9 WHERE unit = 'so'",
        "UPDATE sampling_plans SET until_day = '2026-03-20'",
        "DELETE FROM transaction_digests WHERE digest IN (SELECT digest FROM transaction_digests LIMIT 1)",
        (
            "UPDATE transaction_digests SET unit = 'so' WHERE digest IN "
            "(SELECT digest FROM transaction_digests WHERE unit = 'mc-xa' LIMIT 1)"
        ),
    ],
)
def test_a_sample_that_was_changed_is_found(centre: Database, tamper: str) -> None:
    plan_sample(centre, "quy-1", MARCH, {"province": 10, "commune": 8}, actor="lan")
    draw_sample(centre, "quy-1", SEED, actor="lan")
    with centre.transaction() as connection:
        assert connection.execute(tamper).rowcount == 1
    assert not verify_sample(centre, "quy-1").ok


def test_the_command_tells_a_plan_that_was_not_drawn_from_a_true_sample(
    centre: Database, dsn: str, tmp_path: Path
) -> None:
    config = tmp_path / "central.toml"
    config.write_text(f'[database]\ndsn = "{dsn}"\n', "utf-8")
    run = ["verify", "quy-1", "-c", str(config)]
    plan_sample(centre, "quy-1", MARCH, {"province": 10}, actor="lan")
    assert verify_sample(centre, "quy-1").undrawn
    early = RUN.invoke(sample, run)
    assert (early.exit_code, early.stdout.split(",")[0]) == (1, "nothing was drawn yet")
    assert "is the one in the log" in early.stdout
    with centre.transaction() as connection:
        connection.execute("UPDATE sampling_strata SET wanted = 9")
    changed = RUN.invoke(sample, run)
    assert (changed.exit_code, "is NOT the one in the log" in changed.stdout) == (1, True)
    with centre.transaction() as connection:
        connection.execute("UPDATE sampling_strata SET wanted = 10")
    draw_sample(centre, "quy-1", SEED, actor="lan")
    assert not verify_sample(centre, "quy-1").undrawn
    drawn = RUN.invoke(sample, run)
    assert (drawn.exit_code, drawn.stdout) == (0, "10 transactions, as drawn\n")


def test_a_frame_that_changed_after_the_plan_is_not_drawn(centre: Database) -> None:
    plan_sample(centre, "quy-1", MARCH, {"province": 10}, actor="lan")
    with centre.transaction() as connection:
        connection.execute("DELETE FROM transaction_digests WHERE unit = 'so' AND day = '2026-03-05'")
    with pytest.raises(TableRefused, match="new plan"):
        draw_sample(centre, "quy-1", SEED, actor="lan")


@pytest.mark.parametrize(
    ("wanted", "seed_text", "message"),
    [({"area": 5}, SEED, "no transaction"), ({"province": 5}, "short", "at least 8")],
)
def test_what_cannot_be_drawn_is_said(
    centre: Database, wanted: dict[str, int], seed_text: str, message: str
) -> None:
    def attempt() -> None:
        plan_sample(centre, "p", MARCH, wanted, actor="lan")
        draw_sample(centre, "p", seed_text, actor="lan")

    with pytest.raises(TableRefused, match=message):
        attempt()


def test_the_response_is_counted_by_unit(centre: Database, tmp_path: Path, seed: int) -> None:
    plan_sample(centre, "quy-1", MARCH, {"commune": 40}, actor="lan")
    assert draw_sample(centre, "quy-1", SEED, actor="lan") == 40
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    start = list(SIZES).index("u-main") * 1001
    rows = [good_row(rng, start + number) for number in (0, 1, 2, 500)]
    sheet = Sheet([[row[name] for name in FIELDS] for row in rows])
    done = take(centre, write_csv(tmp_path / "ballots.csv", TITLES, sheet))
    assert done.kept == 4
    with centre.transaction() as connection:
        found = response_rates(connection, "quy-1")
    assert [(item.unit, item.sampled, item.answered) for item in found] == [
        ("mc-xa", 10, 0),
        ("u-main", 30, 3),
    ]
    assert found[1].rate == pytest.approx(0.1)
