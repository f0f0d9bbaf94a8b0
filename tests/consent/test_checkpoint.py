from __future__ import annotations

import base64
import hashlib
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st

from consent.checkpoint import (
    Checkpoint,
    CosignatureSigner,
    Ed25519Signer,
    KeyHistory,
    KeyPeriod,
    MlDsa44Signer,
    Signer,
    WitnessPolicy,
    ml_dsa_offered,
    open_note,
    peek,
    sign,
    verifier,
    with_signatures,
)
from consent.errors import CheckpointRefused
from consent.signed_note import MOST_SIGNATURES, SignatureLine, Vkey, split

_ORIGIN: Final = "hailong/edge/0190b5a0-0000-7000-8000-000000000001"
_ROOT: Final = hashlib.sha256(b"root").digest()
_LOG_KEY: Final = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"log").digest())
_WITNESS_KEY: Final = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"witness").digest())
_AT_S: Final = 1_795_320_000

_needs_ml_dsa = pytest.mark.skipif(not ml_dsa_offered(), reason="this cryptography package offers no ML-DSA")


def _log() -> Ed25519Signer:
    return Ed25519Signer(_ORIGIN, _LOG_KEY)


def _post_quantum(name: str = _ORIGIN, at_s: int | None = None) -> MlDsa44Signer:
    key = MLDSA44PrivateKey.from_seed_bytes(hashlib.sha256(name.encode()).digest())
    return MlDsa44Signer(name, key, None if at_s is None else lambda: at_s)


def _witness(name: str = "ombudsman.example/w1", at_s: int = _AT_S) -> CosignatureSigner:
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    return CosignatureSigner(name, key, lambda: at_s)


def _checkpoint(size: int = 70_000) -> Checkpoint:
    return Checkpoint(_ORIGIN, size, _ROOT)


def _note(*signers: Signer) -> bytes:
    return sign(_checkpoint(), signers or (_log(),))


def _cosigned(*witnesses: Signer) -> bytes:
    lines = "".join(witness.line(_checkpoint().body()) for witness in witnesses)
    return with_signatures(_note(), lines)


def test_a_signed_checkpoint_reads_as_what_was_signed() -> None:
    note = _note()
    lines = note.decode().split("\n")
    assert lines[:4] == [_ORIGIN, "70000", base64.b64encode(_ROOT).decode(), ""]
    assert lines[4].startswith(f"\N{EM DASH} {_ORIGIN} ")
    opened = open_note(note, [verifier(_log().vkey())])
    assert (opened.checkpoint, opened.verified, opened.unknown) == (_checkpoint(), (_ORIGIN,), 0)
    assert opened.signatures[0].at_s is None


def test_ed25519_signs_the_text_and_nothing_else() -> None:
    body, (line,) = split(_note())
    _LOG_KEY.public_key().verify(line.signature, body)
    held = f"{_ORIGIN}\n".encode() + b"\x01" + _LOG_KEY.public_key().public_bytes_raw()
    assert line.key_id == hashlib.sha256(held).digest()[:4]


def test_a_cosignature_signs_the_time_and_the_text() -> None:
    body, (_, line) = split(_cosigned(_witness()))
    message = f"cosignature/v1\ntime {_AT_S}\n".encode() + body
    assert line.signature[:8] == struct.pack(">Q", _AT_S)
    public = base64.b64decode(_witness().vkey().rpartition("+")[2])
    assert public[0] == 4
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(line.signature[8:], message)


@_needs_ml_dsa
@pytest.mark.parametrize("at_s", [None, _AT_S])
def test_ml_dsa_signs_name_time_origin_size_and_root(at_s: int | None) -> None:
    signer = _post_quantum(at_s=at_s)
    _, (line,) = split(_note(signer))
    name = bytes([len(_ORIGIN)]) + _ORIGIN.encode()
    message = b"subtree/v1\n\0" + name + struct.pack(">Q", at_s or 0) + name
    message += struct.pack(">QQ", 0, 70_000) + _ROOT
    public = base64.b64decode(signer.vkey().split("+", 2)[2])
    assert (public[0], len(line.signature)) == (6, 8 + 2420)
    MLDSA44PublicKey.from_public_bytes(public[1:]).verify(line.signature[8:], message)
    assert open_note(_note(signer), [verifier(signer.vkey())]).signatures[0].at_s == at_s


@_needs_ml_dsa
def test_both_signatures_of_a_log_are_verified_side_by_side() -> None:
    both = (_log(), _post_quantum())
    opened = open_note(_note(*both), [verifier(signer.vkey()) for signer in both])
    assert opened.verified == (_ORIGIN, _ORIGIN)
    assert open_note(_note(*both), [verifier(_log().vkey())]).unknown == 1


@_needs_ml_dsa
def test_ml_dsa_signs_no_extension_lines() -> None:
    extended = Checkpoint(_ORIGIN, 1, _ROOT, ("extension",))
    assert open_note(sign(extended, [_log()]), [verifier(_log().vkey())]).checkpoint == extended
    with pytest.raises(CheckpointRefused, match="extension"):
        sign(extended, [_post_quantum()])


@pytest.mark.parametrize(
    "vkey",
    [
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    ],
)
def test_keys_of_other_programs_are_read(vkey: str) -> None:
    assert verifier(vkey).vkey() == vkey


@pytest.mark.parametrize(
    "change",
    [
        lambda vkey: vkey.replace("+", "-", 1),
        lambda vkey: vkey.replace("edge", "edge x"),
        lambda vkey: vkey.replace("/edge/", "/edgf/"),
        lambda vkey: vkey[:-1],
        lambda vkey: vkey + "\n",
        lambda vkey: "+" + vkey.partition("+")[2],
        lambda _: str(Vkey(_ORIGIN, 2, bytes(32))),
        lambda _: str(Vkey(_ORIGIN, 1, bytes(31))),
        lambda _: str(Vkey(_ORIGIN, 6, bytes(32))),
    ],
)
def test_a_damaged_or_foreign_key_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(CheckpointRefused):
        verifier(change(_log().vkey()))


def _signed_text(text: str) -> bytes:
    """Sign any text, so that only its form can be what is refused."""
    body = text.encode()
    return body + b"\n" + _log().line(body).encode()


_B64: Final = base64.b64encode(_ROOT).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{_ORIGIN}\n070000\n{_B64}\n",
        f"{_ORIGIN}\n+7\n{_B64}\n",
        f"{_ORIGIN}\n-1\n{_B64}\n",
        f"{_ORIGIN}\n\N{FULLWIDTH DIGIT SEVEN}\n{_B64}\n",
        f"{_ORIGIN}\n9223372036854775808\n{_B64}\n",
        f"{_ORIGIN}\n7\n{_B64[:-1]}\n",
        f"{_ORIGIN}\n7\n{_B64[:-2]}p=\n",
        f"{_ORIGIN}\n7\n{base64.urlsafe_b64encode(bytes([251]) * 32).decode()}\n",
        f"{_ORIGIN}\n7\n{base64.b64encode(_ROOT[:31]).decode()}\n",
        f"{_ORIGIN}\n7\n{_B64} \n",
        f"{_ORIGIN}\n7\n",
        f"\n7\n{_B64}\n",
        f"an origin\n7\n{_B64}\n",
        f"{_ORIGIN}\n7\n{_B64}\n\nextension\n",
        f"{_ORIGIN}\u20287\n{_B64}\nx\n",
    ],
)
def test_a_malformed_checkpoint_is_refused_though_it_is_signed(text: str) -> None:
    note = _signed_text(text)
    body, (line,) = split(note)
    _LOG_KEY.public_key().verify(line.signature, body)
    with pytest.raises(CheckpointRefused):
        open_note(note, [verifier(_log().vkey())])


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note[:-1],
        lambda note: note + b"\n",
        lambda note: note.replace(b"\n", b"\r\n"),
        lambda note: note.replace(b"\n\n", b"\n"),
        lambda note: note.replace(b"\n\n", b"\n\n\n"),
        lambda note: note + note.split(b"\n\n")[1],
        lambda note: note.replace("\N{EM DASH} ".encode(), b"- "),
        lambda note: note.replace("\N{EM DASH} ".encode(), "\N{EM DASH}  ".encode()),
        lambda note: note[:-1] + b" \n",
        lambda note: note[:-1] + b"\t\n",
        lambda note: note + "\N{EM DASH} someone AAAA\n".encode(),
        lambda note: note + "\N{EM DASH} some+one AAAAAAAA\n".encode(),
        lambda note: note + "\N{EM DASH} someone AAAAAAB=\n".encode(),
        lambda note: note + "\N{EM DASH} someone AAAAAAAA\n".encode() * MOST_SIGNATURES,
        lambda note: note + b"\xff\n",
        lambda note: note + b"\xe2\x80\x94 " + b"x" * 300_000 + b" AAAAAAAA\n",
        lambda note: note.split(b"\n\n")[0],
        lambda _: b"",
    ],
)
def test_a_malformed_note_is_refused(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CheckpointRefused):
        open_note(change(_note()), [verifier(_log().vkey())])


def test_signatures_of_strangers_say_nothing() -> None:
    stranger = Ed25519Signer("elsewhere", _WITNESS_KEY)
    note = with_signatures(_note(), stranger.line(_checkpoint().body()))
    assert open_note(note, [verifier(_log().vkey())]).unknown == 1
    with pytest.raises(CheckpointRefused, match="no known key signed"):
        open_note(_note(), [verifier(stranger.vkey())])


def test_a_wrong_signature_of_a_known_key_is_refused_beside_a_right_one() -> None:
    wrong = _witness().line(_checkpoint(5).body())
    keys = [verifier(_log().vkey()), verifier(_witness().vkey())]
    with pytest.raises(CheckpointRefused, match="does not hold"):
        open_note(with_signatures(_note(), wrong), keys)


def test_only_the_log_signs_in_its_name() -> None:
    with pytest.raises(CheckpointRefused, match="signed in that name"):
        sign(_checkpoint(), [_witness()])
    with pytest.raises(CheckpointRefused):
        sign(_checkpoint(), [])


def test_a_newer_signature_line_of_a_key_replaces_the_older() -> None:
    body = _checkpoint().body()
    note = with_signatures(_cosigned(_witness(at_s=1)), _witness(at_s=2).line(body))
    policy = WitnessPolicy((verifier(_log().vkey()),), (verifier(_witness().vkey()),))
    assert policy.check(note).witnesses == (("ombudsman.example/w1", 2),)


@pytest.mark.parametrize(("present", "quorum", "witnessed"), [(0, 1, False), (1, 1, True), (1, 2, False)])
def test_the_quorum_makes_a_checkpoint_witnessed(present: int, quorum: int, witnessed: bool) -> None:  # noqa: FBT001 - a table
    known = (verifier(_witness().vkey()), verifier(_witness("audit.example").vkey()))
    note = _cosigned(*[_witness()][:present]) if present else _note()
    policy = WitnessPolicy((verifier(_log().vkey()),), known, quorum)
    found = policy.check(note)
    assert found.witnessed is witnessed
    assert found.witnesses == ((("ombudsman.example/w1", _AT_S),) if present else ())
    if witnessed:
        assert policy.require(note) == found
    else:
        with pytest.raises(CheckpointRefused, match="unwitnessed"):
            policy.require(note)


@_needs_ml_dsa
def test_a_witness_with_two_keys_counts_once() -> None:
    twice = (_witness(), _post_quantum("ombudsman.example/w1", _AT_S + 1))
    known = tuple(verifier(signer.vkey()) for signer in twice)
    found = WitnessPolicy((verifier(_log().vkey()),), known, 2).check(_cosigned(*twice))
    assert found.witnesses == (("ombudsman.example/w1", _AT_S + 1),)
    assert not found.witnessed


@_needs_ml_dsa
def test_a_log_is_no_witness_of_itself() -> None:
    signers: tuple[Signer, ...] = (_log(), _post_quantum())
    keys = tuple(verifier(signer.vkey()) for signer in signers)
    found = WitnessPolicy(keys, keys, 1).check(_note(*signers))
    assert (found.witnesses, found.witnessed) == ((), False)


def test_a_witness_does_not_stand_in_for_the_log() -> None:
    body = _checkpoint().body()
    note = body + b"\n" + _witness().line(body).encode()
    policy = WitnessPolicy((verifier(_log().vkey()),), (verifier(_witness().vkey()),))
    with pytest.raises(CheckpointRefused, match="every key of its log"):
        policy.check(note)


def test_a_checkpoint_of_another_log_is_refused_though_its_signature_holds() -> None:
    body = Checkpoint("hailong/edge/another", 1, _ROOT).body()
    note = body + b"\n" + _log().line(body).encode()
    with pytest.raises(CheckpointRefused, match="another log"):
        WitnessPolicy((verifier(_log().vkey()),)).check(note)


def test_after_a_rotation_each_checkpoint_is_read_with_the_key_of_its_size() -> None:
    new = Ed25519Signer(_ORIGIN, _WITNESS_KEY)
    history = KeyHistory.of([_log().vkey()]).rotated(new.vkey(), 100)
    assert history.periods == (KeyPeriod(_log().vkey(), 0, 100), KeyPeriod(new.vkey(), 100))
    early, late = sign(_checkpoint(99), [_log()]), sign(_checkpoint(100), [new])
    assert history.open(early).checkpoint.size == 99
    assert history.open(late).checkpoint.size == 100
    assert WitnessPolicy(history, quorum=0).require(late).witnessed
    for wrong in (sign(_checkpoint(100), [_log()]), sign(_checkpoint(99), [new])):
        with pytest.raises(CheckpointRefused):
            history.open(wrong)


@_needs_ml_dsa
def test_a_rotation_replaces_the_key_of_its_own_type() -> None:
    history = KeyHistory.of([_log().vkey(), _post_quantum().vkey()])
    new = Ed25519Signer(_ORIGIN, _WITNESS_KEY)
    at_100 = [key.vkey() for key in history.rotated(new.vkey(), 100).verifiers(100)]
    assert at_100 == [_post_quantum().vkey(), new.vkey()]
    with pytest.raises(CheckpointRefused, match="is no key of"):
        history.rotated(Ed25519Signer("another", _WITNESS_KEY).vkey(), 100)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    with pytest.raises(CheckpointRefused):
        open_note(data, [verifier(_log().vkey())])
    with pytest.raises(CheckpointRefused):
        peek(_note() + data + b"x")


@given(
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.lists(st.text("extension line=\N{EM DASH}ế", min_size=1, max_size=9), max_size=3),
)
def test_every_checkpoint_survives_its_text(size: int, root: bytes, extensions: list[str]) -> None:
    checkpoint = Checkpoint(_ORIGIN, size, root, tuple(extensions))
    assert Checkpoint.parse(checkpoint.body()) == checkpoint


# ---- every single byte of a signed checkpoint


def _substitutions(note: bytes, step: int = 1) -> Iterator[bytes]:
    """Yield the note with each byte replaced by each other, or every `step`-th of these."""
    for number in range(0, len(note) * 255, step):
        place, offset = number // 255, number % 255 + 1
        yield note[:place] + bytes([(note[place] + offset) % 256]) + note[place + 1 :]


def _shifts(note: bytes) -> Iterator[bytes]:
    """Yield every note with a byte fewer, and with each of some bytes more."""
    for place in range(len(note)):
        yield note[:place] + note[place + 1 :]
        for value in b"\n\r =A0+\x00\x0b\xa0":
            yield note[:place] + bytes([value]) + note[place:]


def _accepted(notes: Iterator[bytes], check: Callable[[bytes], object]) -> tuple[int, list[bytes]]:
    """Return how many were tried, and those that were accepted."""
    tried, accepted = 0, []
    for note in notes:
        tried += 1
        try:
            check(note)
        except CheckpointRefused:
            continue
        accepted.append(note)
    return tried, accepted


def _lax(note: bytes) -> None:
    """Verify as hurried code does: `splitlines`, base64 decoded and never encoded again."""
    try:
        lines = note.decode("utf-8").splitlines()
        blank = len(lines) - 1 - lines[::-1].index("")
        body = "".join(f"{line}\n" for line in lines[:blank]).encode()
        _, name, encoded = lines[blank + 1].split()
        data = base64.b64decode(encoded)
        ours = (name, data[:4]) == (_ORIGIN, verifier(_log().vkey()).key.key_id)
        _LOG_KEY.public_key().verify(data[4:] if ours else b"", body)
    except (ValueError, IndexError, InvalidSignature) as error:
        raise CheckpointRefused(str(error)) from error


def test_no_single_byte_of_a_checkpoint_can_be_another(capsys: pytest.CaptureFixture[str]) -> None:
    note = _note()
    known = [verifier(_log().vkey())]
    tried, accepted = _accepted(_substitutions(note), lambda altered: open_note(altered, known))
    tried_lax, lax = _accepted(_substitutions(note, 4), _lax)
    with capsys.disabled():
        sys.stdout.write(
            f"\ncheckpoint, each byte replaced by each other: {tried} tried, accepted by the strict verifier "
            f"{len(accepted)}; of {tried_lax} a lax one accepts {len(lax)}\n"
        )
    assert tried == len(note) * 255
    assert accepted == []
    assert len(lax) > 0, "a lax verifier accepts some, or this test could not fail"


def test_no_byte_of_a_checkpoint_can_go_or_come() -> None:
    known = [verifier(_log().vkey())]
    assert _accepted(_shifts(_note()), lambda altered: open_note(altered, known))[1] == []


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.long)])
def test_no_single_byte_of_a_witnessed_checkpoint_can_be_another(step: int) -> None:
    policy = WitnessPolicy((verifier(_log().vkey()),), (verifier(_witness().vkey()),))
    note = _cosigned(_witness())
    policy.require(note)
    assert _accepted(_substitutions(note, step), policy.require)[1] == []


@_needs_ml_dsa
@pytest.mark.parametrize("step", [1019, pytest.param(1, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_no_single_byte_of_a_post_quantum_checkpoint_can_be_another(step: int) -> None:
    signers = (_log(), _post_quantum())
    policy = WitnessPolicy(tuple(verifier(signer.vkey()) for signer in signers), quorum=0)
    note = _note(*signers)
    policy.require(note)
    assert _accepted(_substitutions(note, step), policy.require)[1] == []


def test_a_signature_line_is_written_as_it_is_read() -> None:
    line = _log().line(_checkpoint().body())
    assert str(SignatureLine.parse(line.removesuffix("\n"))) == line
