"""Which connection gets which initializer."""

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
    assert Selector([rule]).select(outcome) == ("x" if matches else None)


def test_the_first_rule_that_matches_counts() -> None:
    selector = Selector([Rule("lines", alpn="lines/1"), Rule("http"), Rule("never")])
    assert selector.select(PLAIN) == "http"


def test_a_connection_is_called_what_the_rule_says_that_matches_first() -> None:
    inside = Rule(client=("10.0.0.0/8",), label="inside")
    selector = Selector([Rule(sni="*.shop.example", label="shop"), inside, Rule()])
    assert selector.label(SECURE) == "shop"
    assert selector.label(PLAIN) == "inside"
    assert selector.label(HandshakeOutcome("0.0.0.0:80", client=("192.0.2.1", 5))) == ""
    assert Selector([Rule(tls=True, label="shop")], "http").label(PLAIN) == ""


def test_the_safe_initializer_takes_what_no_rule_does() -> None:
    selector = Selector([Rule("http", tls=True)], "apology")
    assert selector.select(PLAIN) == "apology"
    assert not selector.matches(PLAIN)
    assert selector.select(SECURE) == "http"
    assert selector.matches(SECURE)
