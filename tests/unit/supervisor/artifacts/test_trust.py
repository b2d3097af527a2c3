"""Where keys are configured, content is taken that one of them has signed, and no other."""

import base64
import builtins
import json
import sys
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from changeover.supervisor.artifacts import signing, trust
from changeover.supervisor.artifacts.folder import Found, read_folder, read_plugin, signature_of
from changeover.supervisor.artifacts.signing import KeyUnusable, Statement, Untrusted, signed, verify
from changeover.supervisor.artifacts.trust import untrusted
from changeover.workers.protocol.refusal import Fault
from tests.plugin_folder import PluginFolder
from tests.unit.supervisor.artifacts.test_wheel import packed

KEY = Ed25519PrivateKey.generate()
STATEMENT = Statement("9c41ab", "geo", "1.3")


def read(path: Path) -> Found:
    found = read_plugin(path)
    assert found is not None
    return found


def sign(path: Path, key: Ed25519PrivateKey = KEY) -> bytes:
    found = read(path)
    signature = signed(Statement(found.digest, found.manifest.id, found.manifest.version), key)
    signature_of(path).write_bytes(signature)
    return signature


class Place:
    def __init__(self, root: Path) -> None:
        self.plugins = PluginFolder(root / "plugins")
        self.key = root / "public.pem"
        self.key.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def reasons(self) -> list[str]:
        listing = read_folder(self.plugins.path)
        assert listing.problems == {}
        problems = list(untrusted(listing.plugins.values(), (str(self.key),)))
        assert all(problem.fault is Fault.CAPABILITY and problem.plugin for problem in problems)
        return [problem.message for problem in problems]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_folder_a_file_and_a_wheel_that_are_signed_are_trusted(place: Place) -> None:
    wheel = place.plugins.path / "rates-2-py3-none-any.whl"
    wheel.write_bytes(packed({"plugin.toml": 'id = "rates"\nversion = "2"\n'}))
    paths = (place.plugins.folder("geo", code="x = 1"), place.plugins.single("hello"), wheel)
    assert len(place.reasons()) == 3
    for path in paths:
        sign(path)
    assert place.reasons() == []
    assert read_folder(place.plugins.path).ignored == {}


def test_a_signature_is_no_content_so_that_it_can_be_added(place: Place) -> None:
    for path in (place.plugins.folder("geo"), place.plugins.single("hello")):
        before = read(path)
        sign(path)
        assert read(path).digest == before.digest


def test_a_wheel_may_bring_its_signature_along(place: Place) -> None:
    files = {"plugin.toml": 'id = "rates"\nversion = "2"\n'}
    wheel = place.plugins.path / "rates-2-py3-none-any.whl"
    wheel.write_bytes(packed(files))
    signature = sign(wheel).decode()
    signature_of(wheel).unlink()
    wheel.write_bytes(packed({**files, "plugin.sig.json": signature}))
    assert place.reasons() == []


def test_a_signature_is_read_so_far_wherever_it_lies(place: Place) -> None:
    long = "x" * 100_000
    wheel = place.plugins.path / "rates-2-py3-none-any.whl"
    wheel.write_bytes(packed({"plugin.toml": 'id = "rates"\nversion = "2"\n', "plugin.sig.json": long}))
    folder, single = place.plugins.folder("geo"), place.plugins.single("hello")
    for path in (folder, single):
        signature_of(path).write_text(long)
    assert {len(read(path).signature) for path in (folder, single, wheel)} == {64 * 1024}


REMEDY = "`changeover plugin sign` signs what is to be taken"


def test_what_was_altered_after_it_was_signed_is_refused_with_both_contents(place: Place) -> None:
    folder = place.plugins.folder("geo", code="x = 1")
    sign(folder)
    was = read(folder).digest[:12]
    (folder / "code.py").write_text("x = 2")
    now = read(folder).digest[:12]
    expected = f"geo 1.0: what is signed is geo 1.0 with content {was}, and this is geo 1.0 with content {now}"
    assert place.reasons() == [f"{expected}; {REMEDY}"]


def test_what_is_unsigned_or_signed_by_somebody_else_is_refused(place: Place) -> None:
    folder = place.plugins.folder("geo")
    assert place.reasons() == ["geo 1.0: is not signed, and plugins.keys asks for it: `changeover plugin sign`"]
    sign(folder, Ed25519PrivateKey.generate())
    assert place.reasons() == [f"geo 1.0: no key in plugins.keys has signed it; {REMEDY}"]


def test_without_keys_nobody_has_to_sign(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.plugins.folder("geo")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert list(untrusted(read_folder(place.plugins.path).plugins.values(), ())) == []


def test_a_key_that_cannot_be_used_is_told_with_its_file(place: Place, tmp_path: Path) -> None:
    curve = generate_private_key(SECP256R1()).public_key()
    place.key.write_bytes(curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "text.pem").write_text("hello")
    told = untrusted((), (str(place.key), str(tmp_path / "text.pem"), str(tmp_path / "none.pem")))
    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in told] == [
        "public.pem: $.plugins.keys: no Ed25519 key",
        "text.pem: $.plugins.keys: no public key in PEM; `openssl pkey -pubout` writes that of a private one",
        "none.pem: $.plugins.keys: cannot be read: No such file or directory",
    ]


def forget_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra `sign` is not installed."""
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith("cryptography") or "signing" in (rest[2] or ()):  # type: ignore[operator]
            raise ModuleNotFoundError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)


def test_where_the_library_is_missing_keys_say_what_to_install(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_the_library(monkeypatch)
    [problem] = untrusted((), (str(place.key),))
    assert problem.message == trust.INSTALL


def test_anybody_who_knows_the_standard_can_check_a_signature() -> None:
    """Written without our code: the bytes that are signed are those of the example in DSSE's protocol."""
    envelope = json.loads(signed(STATEMENT, KEY))
    payload = base64.standard_b64decode(envelope["payload"])
    assert json.loads(payload) == {"digest": "9c41ab", "id": "geo", "version": "1.3"}
    kind = "application/vnd.changeover.plugin+json"
    [signature] = envelope["signatures"]
    message = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    KEY.public_key().verify(base64.standard_b64decode(signature["sig"]), message)
    assert envelope.keys() == {"payload", "payloadType", "signatures"}
    assert envelope["payloadType"] == kind


def altered(envelope: bytes, **changes: object) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(envelope), **changes})


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (b"", "its signature is no envelope"),
        (b"{}", "its signature is no envelope"),
        (b"\xff", "its signature is no envelope"),
        (b'{"x":' + b"[" * 10_000, "its signature is no envelope"),
        (altered(signed(STATEMENT, KEY), payloadType="text/plain"), "its signature is of 'text/plain'"),
        (altered(signed(STATEMENT, KEY), payload="e30="), "no key in plugins.keys has signed it"),
        (altered(signed(STATEMENT, KEY), signatures=[]), "no key in plugins.keys has signed it"),
        (altered(signed(STATEMENT, KEY), signatures=[{"sig": "AAAA"}]), "no key in plugins.keys has signed it"),
        (signed(Statement("9c41ab", "geo", "1.4"), KEY), "what is signed is geo 1.4 with content 9c41ab, and this"),
        (signed(Statement("9c41ab", "rates", "1.3"), KEY), "what is signed is rates 1.3 with"),
    ],
)
def test_an_envelope_that_does_not_state_this_is_refused(envelope: bytes, reason: str) -> None:
    verify(signed(STATEMENT, KEY), STATEMENT, [Ed25519PrivateKey.generate().public_key(), KEY.public_key()])
    with pytest.raises(Untrusted) as caught:
        verify(envelope, STATEMENT, [KEY.public_key()])
    assert str(caught.value).startswith(reason)


def test_a_statement_that_is_nested_without_end_is_refused() -> None:
    payload = b'{"x":' + b"[" * 10_000
    signature = KEY.sign(signing._authenticated(signing.PAYLOAD_TYPE, payload))
    envelope = {"payload": payload, "payloadType": signing.PAYLOAD_TYPE, "signatures": [{"sig": signature}]}
    with pytest.raises(Untrusted, match="what is signed is no statement about a plugin"):
        verify(msgspec.json.encode(envelope), STATEMENT, [KEY.public_key()])


def test_a_key_is_good_for_statements_of_this_type_only() -> None:
    payload = msgspec.json.encode(STATEMENT)
    signature = KEY.sign(payload)
    envelope = {"payload": payload, "payloadType": signing.PAYLOAD_TYPE, "signatures": [{"sig": signature}]}
    with pytest.raises(Untrusted):
        verify(msgspec.json.encode(envelope), STATEMENT, [KEY.public_key()])


def test_what_signs_is_an_ed25519_key_without_a_passphrase() -> None:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert signing.private_key(pem).public_key() == KEY.public_key()
    curve = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for bad in (b"", curve):
        with pytest.raises(KeyUnusable):
            signing.private_key(bad)
