"""Signals and signed batches as an edge would send them."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.database import Database
from api.enrolment import enrol, make_token
from inference.signal import Factor


@dataclass(frozen=True, slots=True)
class Edge:
    id: UUID
    key: Ed25519PrivateKey
    counters: tuple[str, ...]

    def sign(self, body: bytes) -> str:
        return base64.b64encode(self.key.sign(body)).decode()

    def batch(self, first_seq: int, payloads: Sequence[Any], kind: str = "signal") -> bytes:
        entries = [{"seq": first_seq + i, "kind": kind, "payload": item} for i, item in enumerate(payloads)]
        return json.dumps({"edge": str(self.id), "first_seq": first_seq, "entries": entries}).encode()


def public_text(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def enrolled_edge(database: Database, counters: Sequence[str], *, area: str = "area-1") -> Edge:
    key = Ed25519PrivateKey.generate()
    token = make_token(database, counters, actor="test", unit="Một cửa", area=area)
    done = enrol(database, token, public_text(key), "edge-1")
    return Edge(done.edge, key, done.counters)


def signal(
    rng: random.Random,
    counter: str = "counter-1",
    *,
    start: datetime | None = None,
    score: float | None = 0.7,
) -> dict[str, Any]:
    """Return the JSON of one plausible signal; score None abstains."""
    begin = start or datetime.now(UTC) - timedelta(hours=1)
    withheld = {"score": None, "low": None, "high": None, "abstained": "too_little_evidence"}
    overall: dict[str, Any] = withheld
    change: dict[str, Any] = {"delta": None, "low": None, "high": None, "abstained": "no_evidence"}
    if score is not None:
        overall = {
            "score": score,
            "low": max(0.0, score - 0.1),
            "high": min(1.0, score + 0.1),
            "abstained": None,
        }
        delta = round(rng.uniform(-0.5, 0.5), 3)
        change = {"delta": delta, "low": delta - 0.2, "high": delta + 0.2, "abstained": None}
    factors = [
        {"factor": factor.value, "estimate": overall, "mentions": rng.randint(0, 3)}
        for factor in Factor
        if rng.random() < 0.7
    ]
    return {
        "schema_version": 1,
        "signal_id": str(_uuid(rng)),
        "session_id": str(_uuid(rng)),
        "consent_record_id": str(_uuid(rng)),
        "counter": counter,
        "window_start": begin.isoformat(),
        "window_end": (begin + timedelta(minutes=4)).isoformat(),
        "image_permitted": True,
        "voice_permitted": rng.random() < 0.5,
        "overall": overall,
        "factors": factors,
        "change": change,
        "quality": {
            "face_s": round(rng.uniform(5, 200), 3),
            "speech_s": round(rng.uniform(0, 90), 3),
            "utterances": rng.randint(0, 20),
            "noise_dbfs": -50.0,
            "gap_s": round(rng.uniform(0, 3), 3),
            "gaps": rng.randint(0, 2),
            "dropped_s": 0.0,
        },
        "models": [{"name": "centerface", "version": "1", "sha256": "0" * 64}],
        "software": "hailong-0.1.0",
    }


def _uuid(rng: random.Random) -> UUID:
    return UUID(int=rng.getrandbits(128), version=4)
