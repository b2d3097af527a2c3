"""What comes before the first message at each address of a candidate: certificates read, checked, put together."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.problems import Problem
from changeover.supervisor.config.channels import Certificate, Channel, Select, Tls
from changeover.supervisor.config.settings import Settings
from changeover.workers.channel.alpn import HTTP2, INSTALL, speaks_http2
from changeover.workers.channel.tls import AUTHORITIES, PAIR, UnusableCertificate, check_authorities, check_pair
from changeover.workers.plugins.artifact import digest_of
from changeover.workers.protocol.assembly import Rule, TlsSpec
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import ChannelSpec, Snapshot, UnitKey, UnitKind, UnitRef


class Channels(msgspec.Struct, frozen=True):
    """The channels of a candidate.

    Attributes:
        specs: One for each address at which anything comes first.
        files: Digest -> certificates, keys and authorities, to be stored.
        problems: What keeps them from being used.
    """

    specs: tuple[ChannelSpec, ...] = ()
    files: dict[str, dict[str, bytes]] = {}
    problems: tuple[Problem, ...] = ()


def read_channels(settings: Settings, listen: tuple[str, ...], epoch: int) -> Channels:
    """Read and check certificates, and say what comes first at each address. Blocks on the disk.

    Args:
        settings: Checked settings.
        listen: The candidate's addresses.
        epoch: Its number.
    """
    configured = {channel.bind: (index, channel) for index, channel in enumerate(settings.channels)}
    specs: list[ChannelSpec] = []
    files: dict[str, dict[str, bytes]] = {}
    problems: list[Problem] = []
    for address in dict.fromkeys(listen):
        index, channel = configured.get(address, (-1, Channel(address)))
        tls = (settings.tls if _is_tcp(address) else None) if channel.tls is None else channel.tls
        proxies = settings.proxies if channel.proxies is None else channel.proxies
        path = "$.tls" if channel.tls is None else f"$.channels[{index}].tls"
        if tls is not None and HTTP2 in tls.alpn and not settings.python and not speaks_http2():
            problems.append(Problem(INSTALL, path=f"{path}.alpn"))
        content = _read_tls(tls, path, problems) if tls is not None and tls.all else {}
        spec = _spec(channel, None if tls is None or not tls.all else _tls_spec(tls, content), proxies, epoch)
        if not spec.is_bare:
            specs.append(spec)
            files |= {spec.tls.artifact: content} if spec.tls is not None else {}
    return Channels(tuple(specs), files, tuple(dict.fromkeys(problems)))


def carried_over(current: Snapshot, listen: tuple[str, ...]) -> Channels:
    """The channels that serve, as far as their addresses stay."""
    return Channels(tuple(unit for unit in current.channels if unit.key.ref.name in listen))


def _is_tcp(address: str) -> bool:
    return not address.startswith("unix:")


def _spec(channel: Channel, tls: TlsSpec | None, proxies: tuple[str, ...], epoch: int) -> ChannelSpec:
    """The unit, as far as it can be known without its plugins."""
    rules = tuple(map(_rule, channel.select)) or (Rule(),)
    key = UnitKey(UnitRef(UnitKind.CHANNEL, channel.bind), "", epoch)
    return ChannelSpec(key, tls, proxies, rules, channel.safe)


def _rule(select: Select) -> Rule:
    sni = select.sni.lower()
    return Rule(
        select.initializer, select.alpn, sni, select.tls, select.client, select.proxied, select.label, select.use
    )


def _tls_spec(tls: Tls, content: dict[str, bytes]) -> TlsSpec:
    return TlsSpec(digest_of(content), len(tls.all), tls.client, tls.minimum, tls.ciphers, tls.alpn)


def _read_tls(tls: Tls, path: str, problems: list[Problem]) -> dict[str, bytes]:
    """Certificates, keys and authorities, as they are stored; what is wrong with them is added to `problems`."""
    content: dict[str, bytes] = {}
    for place, certificate in enumerate(tls.all):
        first = place == 0 and bool(tls.certificate)
        at = path if first else f"{path}.certificates[{place - bool(tls.certificate)}]"
        content[PAIR.format(place)] = b"".join(_read_pair(certificate, at, problems))
    if tls.client != "none":
        content[AUTHORITIES] = _read(Path(tls.client_ca), f"{path}.client_ca", problems)
        if content[AUTHORITIES]:
            _check(lambda: check_authorities(Path(tls.client_ca)), f"{path}.client_ca", problems)
    return content


def _read_pair(certificate: Certificate, path: str, problems: list[Problem]) -> Iterator[bytes]:
    chain, key = Path(certificate.certificate), Path(certificate.key or certificate.certificate)
    pieces = [_read(chain, f"{path}.certificate", problems)]
    if key != chain:
        pieces.append(_read(key, f"{path}.key", problems))
    if all(pieces):
        _check(lambda: check_pair(chain, key), f"{path}.certificate", problems)
    yield from (piece if piece.endswith(b"\n") else piece + b"\n" for piece in pieces)


def _read(file: Path, path: str, problems: list[Problem]) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        problems.append(Problem(f"cannot be read: {error.strerror}", str(file), path, Fault.RESOURCE))
        return b""
    if not content:
        problems.append(Problem("is empty", str(file), path))
    return content


def _check(check: Callable[[], None], path: str, problems: list[Problem]) -> None:
    try:
        check()
    except UnusableCertificate as error:
        problems.append(Problem(error.reason, error.file, path))
