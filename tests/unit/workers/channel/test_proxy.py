"""PROXY headers: what they say, where they end, and what is none."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.channel.proxy import (
    V1_LONGEST,
    V2_LONGEST,
    V2_SIGNATURE,
    BadProxyHeader,
    ProxyHeader,
    is_trusted,
    length_of,
    networks,
    parse,
)

V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n"


def v2(command: int, family: int, content: bytes) -> bytes:
    """A version 2 header, byte by byte."""
    return V2_SIGNATURE + bytes((0x20 | command, family)) + struct.pack("!H", len(content)) + content


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


ADDRESSES = ip_address("203.0.113.7").packed + ip_address("192.0.2.1").packed + struct.pack("!HH", 51234, 443)


def test_version_1_names_client_and_server() -> None:
    assert parse(V1) == ProxyHeader(("203.0.113.7", 51234), ("192.0.2.1", 443))
    six = b"PROXY TCP6 2001:db8::7 2001:db8::1 51234 443\r\n"
    assert parse(six) == ProxyHeader(("2001:db8::7", 51234), ("2001:db8::1", 443))
    assert parse(b"PROXY UNKNOWN\r\n") == ProxyHeader()


def test_version_2_names_them_and_what_was_asked_of_the_proxy() -> None:
    secure = tlv(0x20, struct.pack("!BI", 1, 0) + tlv(0x21, b"TLSv1.3"))
    content = ADDRESSES + tlv(0x02, b"shop.example") + secure
    assert parse(v2(1, 0x11, content)) == ProxyHeader(
        ("203.0.113.7", 51234), ("192.0.2.1", 443), "shop.example", "TLSv1.3"
    )


def test_a_proxy_that_speaks_for_itself_is_its_own_client() -> None:
    assert parse(v2(0, 0x00, b"")) == ProxyHeader()


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.7 192.0.2.1 51234\r\n",
        b"PROXY TCP4 2001:db8::7 192.0.2.1 51234 443\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 70000\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.1 1 2\r\n",
        v2(1, 0x11, ADDRESSES[:-1]),
        v2(7, 0x11, ADDRESSES),
        V2_SIGNATURE + b"\x11\x11" + struct.pack("!H", len(ADDRESSES)) + ADDRESSES,
    ],
)
def test_what_is_no_header_is_refused_with_a_reason(header: bytes) -> None:
    with pytest.raises(BadProxyHeader, match=r"no PROXY header: it cannot be read: .+"):
        parse(header)


@given(st.sampled_from([V1, v2(1, 0x11, ADDRESSES), v2(0, 0, b"")]), st.binary(max_size=40), st.data())
def test_the_length_is_known_as_soon_as_it_can_be_and_never_wrong(
    header: bytes, after: bytes, data: st.DataObject
) -> None:
    whole = header + after
    seen = data.draw(st.integers(1, len(whole)))
    assert length_of(whole[:seen]) in (None, len(header))
    assert length_of(whole) == len(header)


@given(st.binary(min_size=1, max_size=60))
def test_no_bytes_at_all_make_it_fall_over(data: bytes) -> None:
    try:
        length = length_of(data)
        if length is not None and length <= len(data):
            parse(data[:length])
    except BadProxyHeader:
        pass


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"PROXX", b"PROXY " + b"x" * V1_LONGEST])
def test_something_else_is_refused_before_it_is_read_to_its_end(data: bytes) -> None:
    with pytest.raises(BadProxyHeader):
        length_of(data)


def test_a_header_that_says_it_is_enormous_is_not_waited_for() -> None:
    with pytest.raises(BadProxyHeader, match=str(V2_LONGEST)):
        length_of(V2_SIGNATURE + b"\x21\x11\xff\xff")


def test_only_networks_that_were_named_are_believed() -> None:
    trusted = networks(["10.0.0.0/8", "2001:db8::1", "192.0.2.7"])
    assert is_trusted(("10.200.3.4", 1), trusted)
    assert is_trusted(("::ffff:10.200.3.4", 1), trusted)
    assert is_trusted(("2001:db8::1", 1), trusted)
    assert not is_trusted(("11.0.0.1", 1), trusted)
    assert not is_trusted(("192.0.2.8", 1), trusted)
    assert is_trusted(None, trusted), "who may connect to a Unix socket is believed"
