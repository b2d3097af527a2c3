"""Which connection gets which initializer."""

import msgspec
import pytest

from changeover.workers.channel.selector import Selector
from changeover.workers.protocol.assembly import Rule
from changeover.workers.serving.handshake import HandshakeOutcome, Proxied, Transport

SECURE = HandshakeOutcome("0.0.0.0:443", client=("10.1.2.3", 5), tls="TLSv1.3", alpn="h2", sni="a.shop.example")
PLAIN = HandshakeOutcome("0.0.0.0:80", client=("10.1.2.3", 5))


@pytest.mark.parametrize(
    ("rule", "outcome", "matches"),
    [
        (Rule("x"), PLAIN, True),
        (Rule("x", alpn="h2"), SECURE, True),
        (Rule("x", alpn="h2"), PLAIN, False),
        (Rule("x", sni="a.shop.example"), SECURE, True),
        (Rule("x", sni="*.shop.example"), SECURE, True),
        (Rule("x", sni="*.example"), SECURE, False),
        (Rule("x", sni="shop.example"), SECURE, False),
        (Rule("x", tls=True), SECURE, True),
        (Rule("x", tls=True), PLAIN, False),
        (Rule("x", tls=False), PLAIN, True),
        (Rule("x", client=("10.0.0.0/8",)), PLAIN, True),
        (Rule("x", client=("11.0.0.0/8",)), PLAIN, False),
        (Rule("x", client=("10.0.0.0/8",)), HandshakeOutcome("unix:/s", Transport.UNIX), False),
        (Rule("x", proxied=True), PLAIN, False),
        (Rule("x", proxied=True), HandshakeOutcome(proxied=Proxied()), True),
    ],
)
def test_a_rule_matches_what_it_says(rule: Rule, outcome: HandshakeOutcome, matches: bool) -> None:
    assert Selector([rule]).choose(outcome)[:2] == ("x" if matches else None, matches)


def test_the_first_rule_that_matches_counts() -> None:
    selector = Selector([Rule("lines", alpn="lines/1"), Rule("http"), Rule("never")])
    assert selector.choose(PLAIN).initializer == "http"


def test_a_connection_is_called_what_the_rule_says_that_matches_first() -> None:
    inside = Rule(client=("10.0.0.0/8",), label="inside")
    selector = Selector([Rule(sni="*.shop.example", label="shop"), inside, Rule()])
    assert selector.choose(SECURE).label == "shop"
    assert selector.choose(PLAIN).label == "inside"
    assert selector.choose(HandshakeOutcome("0.0.0.0:80", client=("192.0.2.1", 5))).label == ""
    assert Selector([Rule(tls=True, label="shop")], "http").choose(PLAIN).label == ""


def test_the_safe_initializer_takes_what_no_rule_does() -> None:
    selector = Selector([Rule("http", tls=True)], "apology")
    assert selector.choose(PLAIN)[:2] == ("apology", False)
    assert selector.choose(SECURE)[:2] == ("http", True)


def test_a_plugin_is_asked_by_a_rule_that_matches_otherwise_and_once() -> None:
    asked: list[HandshakeOutcome] = []

    def use(outcome: HandshakeOutcome) -> bool:
        asked.append(outcome)
        return outcome.alpn == "h2"

    selector = Selector([Rule("x", tls=True, use="feed:new"), Rule("y")], uses={"feed:new": use})
    assert selector.choose(PLAIN)[:2] == ("y", True)
    assert asked == []
    assert selector.choose(SECURE)[:2] == ("x", True)
    assert asked == [SECURE]
    other = msgspec.structs.replace(SECURE, alpn="http/1.1")
    assert selector.choose(other)[:2] == ("y", True)
    assert asked == [SECURE, other]
