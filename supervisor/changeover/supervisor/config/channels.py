"""What comes before the first message at an address, as `changeover.toml` spells it."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from changeover.workers.protocol.assembly import HTTP
from changeover.workers.protocol.document import Mistake, nearest

_LABEL = re.compile(r"[\w.-]+", re.ASCII)


class Certificate(msgspec.Struct, frozen=True):
    """A certificate with its key, in PEM form.

    Attributes:
        certificate: File with the certificate, and those between it and its root, in that order.
        key: File with its key, without a password; by default the same file.
    """

    certificate: str
    key: str = ""


class Tls(msgspec.Struct, frozen=True):
    """How TLS is spoken. Changed files are taken by a reload, for connections that come from then on.

    Attributes:
        certificate: File with the certificate, and those between it and its root, in PEM form; empty = cleartext.
        key: File with its key, without a password; by default the same file.
        certificates: More of them: each client gets the one for the name it asks for, the first one otherwise.
        client: Whether clients show a certificate: `none`, `optional`, `required`.
        client_ca: File with the authorities whose client certificates are accepted.
        minimum: Oldest version that is spoken, `1.2` or `1.3`.
        ciphers: For TLS 1.2, as OpenSSL writes them; by default the library's own.
        alpn: Protocols that are offered, best first; by default `h2`, where its library is installed, and `http/1.1`.
    """

    certificate: str = ""
    key: str = ""
    certificates: tuple[Certificate, ...] = ()
    client: Literal["none", "optional", "required"] = "none"
    client_ca: str = ""
    minimum: Literal["1.2", "1.3"] = "1.2"
    ciphers: str = ""
    alpn: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[Certificate, ...]:
        """Every certificate, the one that clients get by default first."""
        first = (Certificate(self.certificate, self.key),) if self.certificate else ()
        return (*first, *self.certificates)

    @property
    def files(self) -> frozenset[str]:
        """Every file that is read for it."""
        written = {self.client_ca, *(file for each in self.all for file in (each.certificate, each.key))}
        return frozenset(written - {""})


class Select(msgspec.Struct, frozen=True):
    """Which connections an initializer is for; what is left out matches everything.

    Attributes:
        initializer: `http`, or `plugin:initializer`.
        sni: The name that the client asked for, `*.shop.example` for all below it.
        alpn: The protocol that was agreed on.
        tls: Whether TLS is spoken.
        client: Networks that the client is in.
        proxied: Whether a proxy said who the client is.
        label: What such connections are called, for the `match` of pipelines.
        use: `plugin:selector` that is asked when everything else matches.
    """

    initializer: str = HTTP
    sni: str = ""
    alpn: str = ""
    tls: bool | None = None
    client: tuple[str, ...] = ()
    proxied: bool | None = None
    label: str = ""
    use: str = ""


class Channel(msgspec.Struct, frozen=True):
    """What comes first at one address.

    Attributes:
        bind: The address, as it stands in `bind`.
        tls: How TLS is spoken there; by default as everywhere.
        proxies: Networks whose PROXY header is expected and believed there; by default as everywhere.
        select: Which connection gets which initializer; the first match counts, and none means HTTP for all.
        safe: The initializer of a connection that nothing selects; left out, it is closed.
    """

    bind: str
    tls: Tls | None = None
    proxies: tuple[str, ...] | None = None
    select: tuple[Select, ...] = ()
    safe: str = ""


def channel_mistakes(
    bind: Iterable[str], tls: Tls, proxies: Iterable[str], channels: tuple[Channel, ...]
) -> Iterator[Mistake]:
    """Say everything that is wrong with what comes before the first message.

    Args:
        bind: All addresses.
        tls: How TLS is spoken everywhere.
        proxies: Whose PROXY header is believed everywhere.
        channels: What differs.
    """
    yield from _tls_mistakes("$.tls", tls)
    yield from network_mistakes("$.proxies", proxies)
    seen: set[str] = set()
    for index, channel in enumerate(channels):
        path = f"$.channels[{index}]"
        if channel.bind not in bind:
            yield Mistake(f"{path}.bind", f"{channel.bind} is none of `bind`{nearest(channel.bind, bind)}")
        elif channel.bind in seen:
            yield Mistake(f"{path}.bind", f"{channel.bind} has its channel already")
        seen.add(channel.bind)
        if channel.tls is not None:
            yield from _tls_mistakes(f"{path}.tls", channel.tls)
        yield from network_mistakes(f"{path}.proxies", channel.proxies or ())
        for number, select in enumerate(channel.select):
            yield from network_mistakes(f"{path}.select[{number}].client", select.client)
            yield from _name_mistakes(f"{path}.select[{number}].initializer", select.initializer)
            yield from _label_mistakes(f"{path}.select[{number}].label", select)
            if select.use and not all(select.use.partition(":")):
                yield Mistake(f"{path}.select[{number}].use", f"{select.use!r} is not like `plugin:selector`")
        if channel.safe:
            yield from _name_mistakes(f"{path}.safe", channel.safe)


def _name_mistakes(path: str, name: str) -> Iterator[Mistake]:
    plugin, _, own = name.partition(":")
    if name != HTTP and not (plugin and own):
        yield Mistake(path, f"{name!r} is neither `{HTTP}` nor like `plugin:initializer`{nearest(name, (HTTP,))}")


def _label_mistakes(path: str, select: Select) -> Iterator[Mistake]:
    if select.label and select.initializer != HTTP:
        yield Mistake(path, f"has no effect: pipelines are for `{HTTP}`, and not for {select.initializer}")
    elif select.label and not _LABEL.fullmatch(select.label):
        yield Mistake(path, f"{select.label!r} is no label: letters, digits, `_`, `.` and `-`")


def _tls_mistakes(path: str, tls: Tls) -> Iterator[Mistake]:
    if not tls.all:
        for field in ("key", "client_ca", "ciphers"):
            if getattr(tls, field):
                yield Mistake(f"{path}.{field}", "has no effect without `certificate`")
        if tls.client != "none":
            yield Mistake(f"{path}.client", "has no effect without `certificate`")
    elif tls.client != "none" and not tls.client_ca:
        yield Mistake(f"{path}.client_ca", f"must name a file: client certificates are {tls.client}")
    elif tls.client == "none" and tls.client_ca:
        yield Mistake(f"{path}.client", "must be `optional` or `required`: `client_ca` is named")


def network_mistakes(path: str, networks: Iterable[str]) -> Iterator[Mistake]:
    """Say which networks are none."""
    for index, network in enumerate(networks):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            yield Mistake(f"{path}[{index}]", f"{network!r} is no network or address, like `10.0.0.0/8`")
