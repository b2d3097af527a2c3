"""Signs content and checks signatures: Ed25519 over a DSSE envelope that names plugin, version and digest. Pure.

Needs the extra `sign`, so whoever uses it imports it when it is used.
"""

import hashlib
from collections.abc import Iterable

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from changeover.supervisor.errors import SupervisorError

PAYLOAD_TYPE = "application/vnd.changeover.plugin+json"


class Statement(msgspec.Struct, frozen=True):
    """What is signed.

    Attributes:
        digest: Of the content.
        id: Of the plugin.
        version: Of the plugin.
    """

    digest: str
    id: str
    version: str


class KeyUnusable(SupervisorError):
    """A file holds no key that can be used here."""


class Untrusted(SupervisorError):
    """Content is not what somebody trusted has signed."""


class _Signature(msgspec.Struct, frozen=True):
    sig: bytes
    keyid: str = ""


class _Envelope(msgspec.Struct, frozen=True):
    payload: bytes
    payloadType: str
    signatures: tuple[_Signature, ...]


def signed(statement: Statement, key: Ed25519PrivateKey) -> bytes:
    """An envelope around a statement, as JSON."""
    payload = msgspec.json.encode(statement)
    signature = _Signature(key.sign(_authenticated(PAYLOAD_TYPE, payload)), _key_id(key.public_key()))
    envelope = msgspec.json.encode(_Envelope(payload, PAYLOAD_TYPE, (signature,)))
    return msgspec.json.format(envelope) + b"\n"


def verify(envelope: bytes, statement: Statement, keys: Iterable[Ed25519PublicKey]) -> None:
    """Find out that somebody trusted has signed a statement.

    Args:
        envelope: As JSON; may be anything.
        statement: What is to be signed in it.
        keys: Who is trusted.

    Raises:
        Untrusted: It is no envelope, none of the keys has signed it, or it states something else.
    """
    try:
        found = msgspec.json.decode(envelope, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Untrusted(f"its signature is no envelope: {error}") from error
    if found.payloadType != PAYLOAD_TYPE:
        raise Untrusted(f"its signature is of {found.payloadType!r}, not of {PAYLOAD_TYPE}")
    message = _authenticated(found.payloadType, found.payload)
    if not any(_is_signed(message, each.sig, key) for key in keys for each in found.signatures):
        raise Untrusted("no key in plugins.keys has signed it")
    try:
        stated = msgspec.json.decode(found.payload, type=Statement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Untrusted(f"what is signed is no statement about a plugin: {error}") from error
    if stated != statement:
        raise Untrusted(f"what is signed is {_words(stated)}, and this is {_words(statement)}")


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """Read the key that signs.

    Raises:
        KeyUnusable: It is none.
    """
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable("no private key in PEM without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable("no Ed25519 key; `openssl genpkey -algorithm ed25519` makes one")
    return key


def public_key(pem: bytes) -> Ed25519PublicKey:
    """Read a key that is trusted.

    Raises:
        KeyUnusable: It is none.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable("no public key in PEM; `openssl pkey -pubout` writes that of a private one") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable("no Ed25519 key")
    return key


def _authenticated(payload_type: str, payload: bytes) -> bytes:
    """What DSSE signs: both, with their lengths, so that neither can be read as a part of the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _is_signed(message: bytes, signature: bytes, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def _words(statement: Statement) -> str:
    return f"{statement.id} {statement.version} with content {statement.digest[:12]}"
