"""Addresses as people write them."""

import pytest

from changeover.supervisor.process.address import Address, BadAddress, FdAddress, TcpAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", TcpAddress("127.0.0.1", 8000)),
        ("127.0.0.1", TcpAddress("127.0.0.1", 8000)),
        ("shop.example:0", TcpAddress("shop.example", 0)),
        (":80", TcpAddress("", 80)),
        ("*:80", TcpAddress("*", 80)),
        ("[::1]:8000", TcpAddress("::1", 8000)),
        ("[::]", TcpAddress("::", 8000)),
        ("unix:/run/shop.sock", UnixAddress("/run/shop.sock")),
        ("unix:///run/shop.sock", UnixAddress("/run/shop.sock")),
        ("unix:relative.sock?mode=660", UnixAddress("relative.sock", 0o660)),
        ("fd://3", FdAddress(3)),
    ],
)
def test_an_address_is_read_as_people_mean_it(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("::1:8000", "brackets"),
        ("", "HOST:PORT"),
        ("localhost:http", "HOST:PORT"),
        ("localhost:70000", "65535"),
        ("http://localhost", "HOST:PORT"),
        ("unix:", "unix:/path"),
        ("unix:/run/a?mode=9", "mode=660"),
        ("fd://", "fd://N"),
        ("fd://-1", "fd://N"),
        ("fd://2147483648", "so high"),
        ("unix:/run/a\0b", "null"),
    ],
)
def test_what_is_no_address_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(BadAddress, match="is no address") as refused:
        parse_address(text)
    assert hint in str(refused.value)
    assert refused.value.text == text


@pytest.mark.parametrize("text", ["127.0.0.1:8000", "[::1]:8000", "unix:/run/shop.sock", "fd://3"])
def test_an_address_reads_back_as_it_was_written(text: str) -> None:
    assert str(parse_address(text)) == text
