from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.database import Connection, Database
from api.edge_logs import EdgeLogs
from api.enrolment import revoke_edge
from api.errors import Refused
from api.kept_logs import Known, lock_log
from api.settings import LogSettings
from consent.checkpoint import Checkpoint, Ed25519Signer, peek, sign
from consent.entry import SessionStarted, body_of
from consent.merkle import MemoryNodes, leaf_hash, root
from consent.record import IndicatedBy
from consent.state import State
from tests.api.edge_consents import EdgeLog, part
from tests.api.senders import Edge, enrolled_edge


@pytest.fixture
def sent(edge: Edge, tmp_path: Path) -> EdgeLog:
    return EdgeLog.make(edge, tmp_path)


@pytest.fixture
def logs(database: Database) -> EdgeLogs:
    return EdgeLogs(database, LogSettings(fold_s=0))


def kept(database: Database, edge: Edge) -> list[bytes]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT idx, body FROM edge_log_entries WHERE edge_id = %s ORDER BY idx", (edge.id,)
        ).fetchall()
    assert [row[0] for row in rows] == list(range(len(rows)))
    return [bytes(row[1]) for row in rows]


def refused(logs: EdgeLogs, edge: Edge, body: bytes, *, signature: str | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        logs.accept(body, edge.sign(body) if signature is None else signature)
    return caught.value


def column(database: Database, sql: str, *values: object) -> list[Any]:
    with database.transaction() as connection:
        return [row[0] for row in connection.execute(sql, values)]


def test_every_entry_is_kept_as_it_was_hashed_and_its_checkpoint_is_a_leaf_of_the_centre(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    for _ in range(3):
        sent.whole()
    taken = sent.send(logs, 0)
    assert (taken.size, taken.added, taken.anomalies, taken.withdrawals) == (sent.size, sent.size, 0, ())
    assert kept(database, sent.edge) == [entry.body for entry in sent.store.log.entries()]
    (leaf,) = column(database, "SELECT body FROM central_log WHERE kind = 'edge-checkpoint'")
    document = json.loads(bytes(leaf))
    tree = peek(document["note"].encode())
    assert (document["origin"], document["size"], document["root"]) == (
        tree.origin,
        tree.size,
        tree.root.hex(),
    )
    assert (tree.size, tree.root) == (sent.size, sent.store.log.root())


def test_parts_of_any_size_repeated_or_overlapping_make_the_same_log(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    for _ in range(4):
        sent.whole()
    size = sent.size
    for first, stop in ((0, 1), (1, 6), (0, 6), (3, 9), (9, 9), (5, 20), (0, size), (size, size), (2, 4)):
        assert sent.send(logs, first, stop).size >= stop
    assert kept(database, sent.edge) == [entry.body for entry in sent.store.log.entries()]
    assert column(database, "SELECT count(*) FROM consents") == [4]


def test_a_part_that_begins_too_far_on_is_told_where_to_begin(logs: EdgeLogs, sent: EdgeLog) -> None:
    sent.whole()
    body = sent.body(sent.size)
    error = refused(logs, sent.edge, body)
    assert (error.kind, error.extra) == ("log-behind", {"size": 0})
    sent.send(logs, 0, 4)
    error = refused(logs, sent.edge, sent.body(5))
    assert (int(error.status), error.kind, error.extra) == (409, "log-behind", {"size": 4})


def test_a_fork_is_refused_its_evidence_kept_once_and_the_true_log_goes_on(
    database: Database, logs: EdgeLogs, sent: EdgeLog, tmp_path: Path
) -> None:
    sent.whole()
    sent.send(logs, 0)
    size = sent.size
    texts = [entry.body.decode() for entry in sent.store.log.entries()]
    dropped = texts[:-2] + texts[-1:]
    tree = MemoryNodes(leaf_hash(text.encode()) for text in dropped)
    note = rewritten(sent, dropped)
    assert tree.size == size - 1
    body = part(sent.edge.id, 0, dropped, note)
    for _ in range(2):
        error = refused(logs, sent.edge, body)
        assert (int(error.status), error.kind) == (409, "log-forked")
    # The same fork without the entries: only its root tells.
    longer = rewritten(sent, [*dropped, texts[-1], texts[-1]])
    body = part(sent.edge.id, size, [texts[-1]], longer)
    assert refused(logs, sent.edge, body).kind == "log-forked"
    assert column(database, "SELECT count(*) FROM edge_log_forks") == [2]
    assert column(database, "SELECT count(*) FROM central_log WHERE kind = 'edge-forked'") == [2]
    assert column(database, "SELECT forked_at IS NOT NULL FROM edge_logs") == [True]
    sent.whole()
    assert sent.send(logs, size).size == sent.size
    assert len(kept(database, sent.edge)) == sent.size


def rewritten(log: EdgeLog, texts: list[str], key: Ed25519PrivateKey | None = None) -> bytes:
    nodes = MemoryNodes(leaf_hash(text.encode()) for text in texts)
    origin = log.store.log.origin
    return sign(
        Checkpoint(origin, nodes.size, root(nodes.size, nodes)), [Ed25519Signer(origin, key or log.edge.key)]
    )


@pytest.mark.parametrize(
    ("first", "change", "kind"),
    [
        (0, "bit", "checkpoint-refused"),
        (0, "stranger", "checkpoint-refused"),
        (0, "origin", "bad-genesis"),
        (4, "origin", "log-forked"),
        (4, "stranger", "checkpoint-refused"),
        (4, "size", "checkpoint-refused"),
        (4, "empty", "checkpoint-refused"),
    ],
)
def test_a_checkpoint_that_is_not_the_logs_own_is_refused(
    logs: EdgeLogs, sent: EdgeLog, first: int, change: str, kind: str
) -> None:
    sent.whole()
    if first:
        sent.send(logs, 0, first)
    note = sent.store.log.checkpoint()
    texts = [entry.body.decode() for entry in sent.store.log.entries()]
    if change == "bit":
        start, end = note.rsplit(b" ", 1)
        signature = base64.b64decode(end)
        note = start + b" " + base64.b64encode(signature[:-1] + bytes([signature[-1] ^ 1])) + b"\n"
    elif change == "stranger":
        note = rewritten(sent, texts, Ed25519PrivateKey.generate())
    elif change == "origin":
        tree, origin = peek(note), "hailong/edge/" + str(uuid4())
        note = sign(Checkpoint(origin, tree.size, tree.root), [Ed25519Signer(origin, sent.edge.key)])
    elif change == "size":
        note = sent.store.log.checkpoint(sent.size - 1)
    else:
        note = b""
    assert refused(logs, sent.edge, sent.body(first, checkpoint=note)).kind == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"kind": "genesis"}', "bad-entry"),
        ('{"kind":"gossip","schema_version":1}', "bad-entry"),
        ("[]", "bad-entry"),
        ("x", "bad-entry"),
        ("{" * 2000, "bad-entry"),
        ("x" * 65_536, "bad-envelope"),
    ],
)
def test_what_is_no_entry_in_canonical_form_is_refused(
    database: Database, logs: EdgeLogs, sent: EdgeLog, text: str, kind: str
) -> None:
    genesis = sent.store.log.entry(0).body.decode()
    body = part(sent.edge.id, 0, [genesis, text], rewritten(sent, [genesis, text]))
    assert refused(logs, sent.edge, body).kind == kind
    assert kept(database, sent.edge) == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"edge": "x"}, 422),
        ({"edge": 5}, 422),
        ({"first_index": -1}, 422),
        ({"first_index": True}, 422),
        ({"entries": "x"}, 422),
        ({"entries": [1]}, 422),
        ({"entries": ["x"] * 501}, 422),
        ({"entries": ["\ud800"]}, 422),
        ({"checkpoint": None}, 422),
        ({"keys": [1]}, 422),
        ({"surplus": 1}, 422),
    ],
)
def test_a_malformed_envelope_is_refused(
    logs: EdgeLogs, sent: EdgeLog, change: dict[str, object], status: int
) -> None:
    body = json.dumps(json.loads(sent.body(0)) | change).encode()
    assert int(refused(logs, sent.edge, body).status) == status
    assert int(refused(logs, sent.edge, b"{").status) == 400


def test_a_request_is_authenticated_as_batches_are(database: Database, logs: EdgeLogs, sent: EdgeLog) -> None:
    body = sent.body(0)
    other = enrolled_edge(database, ["counter-9"])
    for signature in ("", "x", other.sign(body), sent.edge.sign(body + b" ")):
        assert refused(logs, sent.edge, body, signature=signature).kind == "not-authenticated"
    unknown = part(uuid4(), 0, [], sent.store.log.checkpoint(0))
    assert refused(logs, sent.edge, unknown).kind == "not-authenticated"
    revoke_edge(database, sent.edge.id, actor="test")
    assert refused(logs, sent.edge, body).kind == "not-authenticated"


def test_a_rotated_key_counts_from_its_endorsed_entry_on(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    sent.whole()
    sent.send(logs, 0)
    before = sent.size
    new = Ed25519PrivateKey.generate()
    sent.store.log.rotate(lambda origin: (Ed25519Signer(origin, new),))
    sent.whole()
    assert sent.send(logs, before).size == sent.size
    periods = column(database, "SELECT until_size FROM edge_log_keys ORDER BY from_size")
    assert periods[0] is not None
    assert periods[1] is None
    # The retired key signs nothing larger.
    texts = [entry.body.decode() for entry in sent.store.log.entries()]
    body = part(sent.edge.id, sent.size, [], rewritten(sent, texts))
    assert refused(logs, sent.edge, body).kind == "checkpoint-refused"


def test_a_key_that_the_log_did_not_introduce_or_endorse_signs_nothing(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    sent.send(logs, 0)
    stranger = Ed25519PrivateKey.generate()
    signer = Ed25519Signer(sent.store.log.origin, stranger)
    texts = [entry.body.decode() for entry in sent.store.log.entries()]
    introduction = json.loads(texts[1]) | {"vkey": signer.vkey(), "from_size": len(texts) + 1}
    assert introduction["kind"] == "key-introduced"
    forged = json.dumps(introduction, sort_keys=True, separators=(",", ":"))
    note = rewritten(sent, [*texts, forged], stranger)
    body = part(sent.edge.id, len(texts), [forged], note, keys=[signer.vkey()])
    assert refused(logs, sent.edge, body).kind == "checkpoint-refused"


def test_a_log_moves_to_the_edge_enrolled_in_place_of_a_revoked_one(
    database: Database, logs: EdgeLogs, sent: EdgeLog, tmp_path: Path
) -> None:
    sent.whole()
    sent.send(logs, 0)
    before = sent.size
    new = enrolled_edge(database, ["counter-7"])
    body = part(new.id, before, [], sent.store.log.checkpoint())
    assert refused(logs, new, body).kind == "log-of-another-edge"
    revoke_edge(database, sent.edge.id, actor="test")
    texts = [entry.body.decode() for entry in sent.store.log.entries()]
    moved = EdgeLog(new, sent.store)
    body = part(new.id, before, [], rewritten(moved, texts))
    assert logs.accept(body, new.sign(body)).size == before
    assert column(database, "SELECT sender_id FROM edge_logs") == [new.id]


@pytest.mark.parametrize("case", ["own-key", "own-key-later", "true-note", "true-note-later", "fork"])
def test_who_asks_for_the_log_of_a_revoked_edge_cannot_say_that_it_forked(
    database: Database, logs: EdgeLogs, sent: EdgeLog, case: str
) -> None:
    sent.whole()
    size = sent.size
    sent.send(logs, 0)
    sent.whole()
    newer = sent.store.log.checkpoint()
    texts = [entry.body.decode() for entry in sent.store.log.entries()]
    revoke_edge(database, sent.edge.id, actor="test")
    other = enrolled_edge(database, ["counter-7"])
    false = [*texts[: size - 2], texts[size - 1], texts[size - 2]]
    body = {
        "own-key": lambda: part(other.id, 0, false, rewritten(sent, false, other.key)),
        "own-key-later": lambda: part(
            other.id, size, [texts[1]], rewritten(sent, [*texts[:size], texts[2]], other.key)
        ),
        "true-note": lambda: part(other.id, 0, false, sent.store.log.checkpoint(size)),
        "true-note-later": lambda: part(other.id, size, [*texts[size + 1 :], texts[1]], newer),
        "fork": lambda: part(other.id, 0, false, rewritten(sent, false)),
    }[case]()
    error = refused(logs, other, body)
    forked = case == "fork"
    assert (int(error.status), error.kind) == (409, "log-forked" if forked else "log-of-another-edge")
    assert column(database, "SELECT count(*) FROM edge_log_forks") == [int(forked)]
    assert column(database, "SELECT count(*) FROM central_log WHERE kind = 'edge-forked'") == [int(forked)]
    assert column(database, "SELECT forked_at IS NOT NULL FROM edge_logs") == [forked]
    assert column(database, "SELECT sender_id FROM edge_logs") == [sent.edge.id]
    assert column(database, "SELECT count(*) FROM edge_log_keys") == [1]
    assert len(kept(database, sent.edge)) == size


def test_a_withdrawal_is_folded_in_at_once_and_asks_for_the_erasure(
    database: Database, sent: EdgeLog
) -> None:
    slow = EdgeLogs(database, LogSettings(fold_s=3600))
    record = sent.whole()
    assert sent.send(slow, 0).folded is not None, "the first checkpoint names the log"
    size = sent.size
    sent.whole()
    assert sent.send(slow, size).folded is None
    size = sent.size
    sent.store.apply(record.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "button")
    assert sent.send(slow, size).folded is not None
    assert column(database, "SELECT record_id FROM erasures WHERE cause = 'withdrawn'") == [record.record_id]


def test_what_does_not_fit_is_kept_as_evidence_and_listed_and_changes_nothing(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    sent.whole(counter="counter-of-others")
    record = sent.offer()
    again = sent.store.log.entries()[-1].body
    sent.store.log.append("shown", again)  # one that fits
    sent.give(record, given=False)
    refusal = sent.store.log.entries()[-1]
    sent.store.log.append("refused", refusal.body, record_id=record.record_id)
    taken = sent.send(logs, 0)
    assert taken.size == sent.size == len(kept(database, sent.edge))
    reasons = column(database, "SELECT reason FROM edge_log_anomalies ORDER BY idx")
    assert reasons[0] == "counter-not-enrolled"
    assert reasons[-1] == "no-step:refused-refused"
    assert taken.anomalies == len(reasons) == 7
    assert column(database, "SELECT state FROM consents") == ["refused"]


def test_capture_without_consent_and_answers_of_nobody_do_not_pass_for_a_consent(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    given, refused_one, empty, forced = (sent.offer() for _ in range(4))
    sent.give(given)
    yes = sent.store.log.entries()[-1].event().event
    sent.give(refused_one, given=False)
    started = body_of(
        SessionStarted(
            refused_one.record_id, refused_one.session_id, "counter-1", yes.at, refused_one.purposes
        )
    )
    sent.store.log.append("session-started", started, record_id=refused_one.record_id)
    for record, change in ((empty, {"decisions": ()}), (forced, {"indicated_by": IndicatedBy.SYSTEM})):
        event = replace(yes, record_id=record.record_id, session_id=record.session_id, **change)
        sent.store.log.append("given", event.canonical(), record_id=record.record_id)
    assert sent.send(logs, 0).anomalies == 3
    assert column(database, "SELECT reason FROM edge_log_anomalies ORDER BY idx") == [
        "slot-without-consent:refused",
        "no-answer:given",
        "no-answer:given",
    ]
    states = "SELECT state FROM consents WHERE session_started_at IS NULL ORDER BY first_index"
    assert column(database, states) == ["given", "refused", "offered", "offered"]


def test_a_log_that_another_connection_began_a_moment_ago_is_its_own(
    logs: EdgeLogs, sent: EdgeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other connection commits between this one's look for its own log and its look for the name."""
    body = sent.body(0, 1)
    logs.accept(body, sent.edge.sign(body))
    looks: list[UUID] = []

    def look(connection: Connection, edge: UUID) -> Known | None:
        looks.append(edge)
        return None if len(looks) == 1 else lock_log(connection, edge)

    monkeypatch.setattr("api.edge_logs.lock_log", look)
    logs.accept(body, sent.edge.sign(body))
    assert looks[:1] == [sent.edge.id]


def test_two_connections_that_send_the_same_parts_make_one_log(
    database: Database, logs: EdgeLogs, sent: EdgeLog
) -> None:
    for _ in range(5):
        sent.whole()
    bodies = [sent.body(0, stop) for stop in (1, 9, 17, 25, sent.size)]
    failures: list[BaseException] = []

    def send() -> None:
        try:
            for body in bodies:
                logs.accept(body, sent.edge.sign(body))
        except BaseException as error:  # noqa: BLE001 - told by the test below
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert kept(database, sent.edge) == [entry.body for entry in sent.store.log.entries()]
