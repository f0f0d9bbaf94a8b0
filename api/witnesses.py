"""Outside witnesses of the centre's log: asked for cosignatures, believed by their keys, counted to a quorum.

Whoever holds the centre's keys can sign another history, and every check inside the centre passes. A
witness does not: it has cosigned an earlier checkpoint and refuses one that does not continue it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import httpx
import structlog

from api.central_log import CentralLog, keys_of
from api.database import Connection
from api.errors import LogDamaged, SettingsInvalid
from api.settings import LogSettings, WitnessSettings
from consent.checkpoint import Verifier, WitnessedCheckpoint, WitnessPolicy, peek, verifier, with_signatures
from consent.errors import CheckpointRefused, CosignatureRefused, WitnessBehind
from consent.signed_note import split
from consent.witness import read_cosignature, request_cosignature

MOST_ATTEMPTS: Final = 3
"""Questions to one witness about one checkpoint: it may know the log at another size than we think."""
_log: Final = structlog.get_logger("api.witnesses")


class Standing(StrEnum):
    """What a witness last did."""

    COSIGNED = "cosigned"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """It does not cosign: the log it knows is not the one it was shown. An alarm."""
    NOT_ASKED = "not-asked"


@dataclass(frozen=True, slots=True)
class WitnessState:
    """One witness as the centre last met it.

    Attributes:
        size: Size of the newest checkpoint it cosigned for us; 0 before the first.
        cosigned_at: When, by its own clock.
        detail: What it said, or what failed; empty when all is well.
    """

    name: str
    url: str
    standing: Standing
    size: int
    cosigned_at: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class LogStatus:
    """The centre's log as an outsider may rely on it.

    Attributes:
        size: Entries under the newest checkpoint.
        note: That checkpoint with its cosignatures.
        witnessed: Whether the newest checkpoint has the quorum.
        witnessed_size: Size of the newest checkpoint that has it; None when none ever had.
        witnessed_at: When the quorum was reached, by the witnesses' clocks.
        fault: Why nothing is signed any more; empty when all is well.
    """

    origin: str
    size: int
    note: bytes
    made_at: datetime | None
    quorum: int
    witnessed: bool
    witnessed_size: int | None
    witnessed_at: datetime | None
    witnesses: tuple[WitnessState, ...]
    fault: str = ""


class Witnesses:
    """Asks the witnesses of the settings and keeps their cosignatures. Threads may share it.

    Args:
        log: The centre's log.
        settings: Witnesses, quorum, time-out.
        transport: Replaces the network in tests.

    Raises:
        SettingsInvalid: A witness's key is none.
    """

    def __init__(
        self, log: CentralLog, settings: LogSettings, transport: httpx.BaseTransport | None = None
    ) -> None:
        """Read the keys; nobody is asked."""
        self._log = log
        self._settings = settings
        self._transport = transport
        self._lock = threading.Lock()
        self._met: dict[str, tuple[Standing, str]] = {}
        try:
            self._keys = {item: verifier(item.vkey) for item in settings.witnesses}
        except CheckpointRefused as error:
            raise SettingsInvalid(f"log.witnesses: {error}: copy the vkey that the witness prints") from error

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """The keys of the witnesses."""
        return tuple(self._keys.values())

    def policy(self) -> WitnessPolicy:
        """Return whose signatures make a checkpoint one to rely on."""
        return WitnessPolicy(self._log.keys(), self.verifiers, self._settings.quorum)

    def submit(self) -> bool:
        """Ask every witness that has not yet cosigned the newest checkpoint.

        Returns:
            Whether all of them have cosigned it now.

        Raises:
            DatabaseUnavailable: Ask again later.
            LogDamaged: The log cannot prove that it continues itself.
        """
        note = self._log.newest()
        if note is None or not self._keys:
            return not self._keys
        size = peek(note).size
        with self._log.database.transaction() as connection:
            done = _cosigned_sizes(connection)
        with httpx.Client(
            transport=self._transport, timeout=self._settings.witness_timeout_s, trust_env=False
        ) as client:
            for witness, key in self._keys.items():
                if done.get(key.name, 0) < size:
                    self._ask(client, witness, key, note, done.get(key.name, 0))
        return all(self._met.get(key.name, (None, ""))[0] is Standing.COSIGNED for key in self.verifiers)

    def _ask(
        self, client: httpx.Client, witness: WitnessSettings, key: Verifier, note: bytes, old: int
    ) -> None:
        try:
            cosigned = self._cosign(client, witness, key, note, old)
        except httpx.HTTPError as error:
            self._note_down(key, Standing.UNREACHABLE, type(error).__name__)
            return
        except CosignatureRefused as error:
            self._note_down(key, Standing.REFUSED, str(error)[:300])
            return
        lines = [line for line in split(cosigned)[1] if key.made(line)]
        with self._log.database.transaction() as connection:
            for line in lines:
                at_s = key.check(peek(note).body(), line.signature)
                connection.execute(
                    "INSERT INTO cosignatures (size, witness, line, cosigned_at) "
                    "SELECT size, %s, %s, to_timestamp(%s) FROM central_checkpoints WHERE size = %s "
                    "ON CONFLICT (size, witness) DO UPDATE SET line = excluded.line, "
                    "cosigned_at = excluded.cosigned_at",
                    (key.name, str(line), at_s or 0, peek(note).size),
                )
        self._note_down(key, Standing.COSIGNED, "")

    def _cosign(
        self, client: httpx.Client, witness: WitnessSettings, key: Verifier, note: bytes, old: int
    ) -> bytes:
        """Return the note with the witness's line.

        Raises:
            httpx.HTTPError: It cannot be reached.
            CosignatureRefused: It does not cosign, or knows a larger log than there is.
        """
        size = peek(note).size
        for _ in range(MOST_ATTEMPTS):
            proof = self._log.consistency_proof(old, size)
            answer = client.post(
                f"{witness.url.rstrip('/')}/add-checkpoint", content=request_cosignature(old, proof, note)
            )
            kind = answer.headers.get("content-type", "")
            try:
                return read_cosignature(answer.status_code, kind, answer.content, note, [key])
            except WitnessBehind as behind:
                if behind.size > size:
                    raise CosignatureRefused(
                        f"the witness has cosigned {behind.size} entries, but there are {size}: the log was "
                        "cut short",
                        answer.status_code,
                    ) from behind
                old = behind.size
        raise CosignatureRefused("the witness asks for another size each time", 409)

    def _note_down(self, key: Verifier, standing: Standing, detail: str) -> None:
        with self._lock:
            before = self._met.get(key.name)
            self._met[key.name] = standing, detail
        if before is None or before[0] is not standing:
            level = _log.info if standing is Standing.COSIGNED else _log.error
            level("witness", name=key.name, standing=standing.value, detail=detail)

    def status(self) -> LogStatus:
        """Return how the log stands with its witnesses; cosignatures are verified, not believed.

        Raises:
            DatabaseUnavailable: Ask again later.
            LogDamaged: The keys in the log do not follow each other.
        """
        note = self._log.newest() or b""
        size = peek(note).size if note else 0
        policy = self.policy()
        with self._log.database.transaction() as connection:
            kept = connection.execute(
                "SELECT size, note, made_at FROM central_checkpoints c WHERE size = %s OR EXISTS "
                "(SELECT 1 FROM cosignatures s WHERE s.size = c.size) ORDER BY size DESC LIMIT 50",
                (size,),
            ).fetchall()
            notes = [(row[0], _cosigned(connection, row[0], bytes(row[1])), row[2]) for row in kept]
            done = _cosigned_sizes(connection)
            times = dict(
                connection.execute("SELECT witness, max(cosigned_at) FROM cosignatures GROUP BY witness")
            )
        found = next(
            ((at_size, seen) for at_size, held, _ in notes if (seen := _seen(policy, held)) is not None), None
        )
        newest = next((held for at_size, held, _ in notes if at_size == size), note)
        states = tuple(self._state(item, key, done, times) for item, key in self._keys.items())
        return LogStatus(
            origin=peek(note).origin if note else "",
            size=size,
            note=newest,
            made_at=next((made for at_size, _, made in notes if at_size == size), None),
            quorum=self._settings.quorum,
            witnessed=found is not None and found[0] == size,
            witnessed_size=found[0] if found else None,
            witnessed_at=_quorum_at(found[1], self._settings.quorum) if found else None,
            witnesses=states,
        )

    def check(self, connection: Connection, size: int, note: bytes) -> WitnessedCheckpoint:
        """Return a kept checkpoint with the witnesses whose cosignatures hold.

        Args:
            connection: The connection to read on.
            size: Its size.
            note: The checkpoint as the log signed it.

        Raises:
            CheckpointRefused: The log did not sign it, or a signature under it is wrong.
        """
        policy = WitnessPolicy(keys_of(connection), self.verifiers, self._settings.quorum)
        return policy.check(_cosigned(connection, size, note))

    def newest_witnessed(self) -> bytes | None:
        """Return the newest checkpoint with the quorum, None when none ever had it."""
        policy = self.policy()
        with self._log.database.transaction() as connection:
            kept = connection.execute(
                "SELECT size, note FROM central_checkpoints c WHERE EXISTS "
                "(SELECT 1 FROM cosignatures s WHERE s.size = c.size) ORDER BY size DESC LIMIT 50"
            ).fetchall()
            notes = [_cosigned(connection, row[0], bytes(row[1])) for row in kept]
        return next((note for note in notes if _seen(policy, note) is not None), None)

    def _state(
        self,
        item: WitnessSettings,
        key: Verifier,
        done: dict[str, int],
        times: dict[str, datetime],
    ) -> WitnessState:
        standing, detail = self._met.get(key.name, (Standing.NOT_ASKED, ""))
        return WitnessState(key.name, item.url, standing, done.get(key.name, 0), times.get(key.name), detail)


def cosigned_note(log: CentralLog) -> bytes:
    """Return the newest checkpoint with the cosignatures that are there.

    Raises:
        LogDamaged: There is no checkpoint yet.
    """
    note = log.newest()
    if note is None:
        raise LogDamaged("the centre's log has no checkpoint yet: the service makes one when it starts")
    with log.database.transaction() as connection:
        return _cosigned(connection, peek(note).size, note)


def _cosigned(connection: Connection, size: int, note: bytes) -> bytes:
    rows = connection.execute("SELECT line FROM cosignatures WHERE size = %s ORDER BY witness", (size,))
    lines = "".join(row[0] for row in rows)
    return with_signatures(note, lines) if lines else note


def _cosigned_sizes(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT witness, max(size) FROM cosignatures GROUP BY witness")
    return {row[0]: int(row[1]) for row in rows}


def _seen(policy: WitnessPolicy, note: bytes) -> WitnessedCheckpoint | None:
    """Return the checkpoint if its quorum is reached by signatures that hold."""
    try:
        found = policy.check(note)
    except CheckpointRefused:
        return None
    return found if found.witnessed and found.witnesses else None


def _quorum_at(found: WitnessedCheckpoint, quorum: int) -> datetime:
    times = sorted(at_s for _, at_s in found.witnesses)
    return datetime.fromtimestamp(times[quorum - 1], UTC)
