"""TLS contexts made of certificates in the artifact store, and which of them a client gets."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from changeover.workers.channel.alpn import offered
from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol.assembly import TlsSpec

PAIR = "{}.pem"
"""Name of the file with a certificate's chain and its key, by the certificate's place."""
AUTHORITIES = "client-ca.pem"
"""Name of the file with those whose client certificates are accepted."""
MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
VERIFICATION = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class UnusableCertificate(ChangeoverError):
    """A certificate, its key, or a list of authorities cannot be used.

    Attributes:
        file: Which.
        reason: Why not.
    """

    def __init__(self, file: str, reason: str) -> None:
        self.file = file
        self.reason = reason
        super().__init__(f"{file}: {reason}")


class Names:
    """The names that clients asked for, until the handshake is over: the library tells them before, and only once."""

    def __init__(self) -> None:
        self._asked: WeakKeyDictionary[ssl.SSLObject | ssl.SSLSocket, str] = WeakKeyDictionary()

    def note(self, session: ssl.SSLObject | ssl.SSLSocket, name: str | None) -> None:
        """A client asks for a name."""
        if name:
            self._asked[session] = name.lower()

    def take(self, session: ssl.SSLObject | ssl.SSLSocket | None) -> str:
        """The name asked for, once; empty without."""
        return "" if session is None else self._asked.pop(session, "")


def context_of(folder: Path, spec: TlsSpec, names: Names) -> ssl.SSLContext:
    """Make what serves an address: with several certificates each client gets the one for the name it asks for.

    Args:
        folder: Where the artifact lies.
        spec: How TLS is spoken.
        names: Told of the name that each client asks for.

    Raises:
        UnusableCertificate: A file is not what it should be.
        ProtocolMissing: HTTP/2 is to be offered and cannot be spoken here.
    """
    contexts = [_context(folder, place, spec) for place in range(spec.certificates)]
    named = [(_names_in(folder / PAIR.format(place)), context) for place, context in enumerate(contexts)]

    def choose(session: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        names.note(session, name)
        found = _for_name(named, name)
        if found is not None:
            session.context = found

    contexts[0].sni_callback = choose
    return contexts[0]


def check_pair(certificate: Path, key: Path) -> None:
    """Refuse a certificate that cannot be served with its key.

    Raises:
        UnusableCertificate: It is none, the key is another's, or has a password.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise UnusableCertificate(str(certificate), _reason(error)) from error


def check_authorities(file: Path) -> None:
    """Refuse a file that names no authority.

    Raises:
        UnusableCertificate: It holds no certificate.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)
    except (ssl.SSLError, ValueError) as error:
        raise UnusableCertificate(str(file), _reason(error)) from error


def _context(folder: Path, place: int, spec: TlsSpec) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MINIMUM[spec.minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(offered(spec.alpn))
    pair = folder / PAIR.format(place)
    try:
        context.load_cert_chain(pair, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise UnusableCertificate(pair.name, _reason(error)) from error
    if spec.ciphers:
        try:
            context.set_ciphers(spec.ciphers)
        except ssl.SSLError as error:
            raise UnusableCertificate("ciphers", f"{spec.ciphers!r} selects none") from error
    _expect_clients(context, folder, spec)
    return context


def _expect_clients(context: ssl.SSLContext, folder: Path, spec: TlsSpec) -> None:
    context.verify_mode = VERIFICATION[spec.client]
    if spec.client == "none":
        return
    try:
        context.load_verify_locations(folder / AUTHORITIES)
    except (ssl.SSLError, ValueError) as error:
        raise UnusableCertificate(AUTHORITIES, _reason(error)) from error


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a password, readable by its owner alone")


def _reason(error: Exception) -> str:
    told = str(error)
    return next((reason for words, reason in _REASONS.items() if words in told), told)


_REASONS = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "NO_CERTIFICATE_ASSIGNED": "the key does not belong to the certificate",  # and is of another kind
    "PEM lib": "it holds no certificate with its key in PEM form",
    "NO_START_LINE": "it holds no certificate in PEM form",
}


def _names_in(pair: Path) -> tuple[str, ...]:
    """The names that a certificate is for."""
    decode = getattr(ssl, "_ssl")._test_decode_cert  # noqa: B009 - nothing public reads a leaf that is no authority
    found = decode(pair)
    return tuple(value.lower() for kind, value in found.get("subjectAltName", ()) if kind == "DNS")


def _for_name(named: Sequence[tuple[tuple[str, ...], ssl.SSLContext]], name: str | None) -> ssl.SSLContext | None:
    if not name:
        return None
    wanted = name.lower().rstrip(".")
    wildcard = f"*.{wanted.partition('.')[2]}"
    exact = (context for names, context in named if wanted in names)
    return next(exact, next((context for names, context in named if wildcard in names), None))
