"""Which initializer a connection gets. Pure: outcome in, name out."""

from collections.abc import Sequence

from changeover.workers.channel.proxy import Network, is_trusted, networks
from changeover.workers.protocol.assembly import Rule
from changeover.workers.serving.handshake import HandshakeOutcome, Transport


class Selector:
    """Rules in order; the first that matches counts.

    Args:
        rules: Which connections which initializer is for.
        safe: The initializer of a connection that no rule matches; empty for none.

    Raises:
        ValueError: A rule names a network that is none.
    """

    def __init__(self, rules: Sequence[Rule], safe: str = "") -> None:
        self._rules = tuple((rule, networks(rule.client)) for rule in rules)
        self._safe = safe

    def select(self, outcome: HandshakeOutcome) -> str | None:
        """Name of the initializer; None when no rule matches and there is no safe one."""
        rule = self._matching(outcome)
        return self._safe or None if rule is None else rule.initializer

    def label(self, outcome: HandshakeOutcome) -> str:
        """What the rule that matches calls such connections; empty for nothing."""
        rule = self._matching(outcome)
        return "" if rule is None else rule.label

    def matches(self, outcome: HandshakeOutcome) -> bool:
        """Whether a rule matches."""
        return self._matching(outcome) is not None

    def _matching(self, outcome: HandshakeOutcome) -> Rule | None:
        return next((rule for rule, clients in self._rules if _matches(rule, clients, outcome)), None)


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
