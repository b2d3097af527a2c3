"""Certificates for tests, and clients that trust them."""

import ssl
from pathlib import Path

import trustme


class Authority:
    """Issues certificates, and is trusted by its clients."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def write(self, chain: Path, key: Path, *names: str) -> None:
        """Write a new certificate and its key, as an operator has them."""
        issued = self._ca.issue_cert(*names)
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())

    def write_own(self, file: Path) -> None:
        """Write its own certificate, for clients that read one from a file."""
        self._ca.cert_pem.write_to_path(file)

    def identify(self, context: ssl.SSLContext, name: str) -> None:
        """Give a client a certificate of its own."""
        self._ca.issue_cert("agent@shop.example", common_name=name).configure_cert(context)

    def client(self, *alpn: str) -> ssl.SSLContext:
        """What a client needs to talk to who holds one of them."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context
