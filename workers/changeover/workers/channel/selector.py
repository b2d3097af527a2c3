"""Which initializer a connection gets: outcome in, name out. Pure, but for what plugins are asked."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from changeover.workers.channel.proxy import Network, is_trusted, networks
from changeover.workers.protocol.assembly import Rule
from changeover.workers.serving.handshake import HandshakeOutcome, Transport

Use = Callable[[HandshakeOutcome], bool]
"""A selector of a plugin; does not fail."""
NOBODY: Mapping[str, Use] = MappingProxyType({})
"""No plugin is asked."""


class Choice(NamedTuple):
    """What a connection gets.

    Attributes:
        initializer: Its name; None when no rule matches and there is no safe one.
        matched: Whether a rule matches.
        label: What the rule that matches calls such connections; empty for nothing.
    """

    initializer: str | None
    matched: bool
    label: str = ""


class Selector:
    """Rules in order; the first that matches counts.

    Args:
        rules: Which connections which initializer is for.
        safe: The initializer of a connection that no rule matches; empty for none.
        uses: The selectors that rules name.

    Raises:
        ValueError: A rule names a network that is none.
    """

    def __init__(self, rules: Sequence[Rule], safe: str = "", uses: Mapping[str, Use] = NOBODY) -> None:
        self._rules = tuple((rule, networks(rule.client), uses[rule.use] if rule.use else None) for rule in rules)
        self._safe = safe

    def choose(self, outcome: HandshakeOutcome) -> Choice:
        """Find the first rule that matches; a plugin is asked only by a rule that matches otherwise."""
        for rule, clients, use in self._rules:
            if _matches(rule, clients, outcome) and (use is None or use(outcome)):
                return Choice(rule.initializer, True, rule.label)
        return Choice(self._safe or None, False)


def _matches(rule: Rule, clients: tuple[Network, ...], outcome: HandshakeOutcome) -> bool:
    return (
        rule.alpn in ("", outcome.alpn)
        and (not rule.sni or _names(rule.sni, outcome.sni))
        and rule.tls in (None, bool(outcome.tls))
        and rule.proxied in (None, outcome.proxied is not None)
        and (not clients or (outcome.transport is Transport.TCP and is_trusted(outcome.client, clients)))
    )


def _names(pattern: str, name: str) -> bool:
    pattern = pattern.lower()
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and "." not in name[: -len(pattern) + 1]
    return name == pattern
