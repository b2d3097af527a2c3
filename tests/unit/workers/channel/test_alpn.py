"""What TLS offers, with the library of HTTP/2 and without."""

import pytest

from changeover.workers.channel import alpn
from changeover.workers.channel.alpn import ProtocolMissing, offered


def test_http_2_is_offered_first_where_its_library_is() -> None:
    assert offered(()) == ["h2", "http/1.1"]


def test_http_1_1_alone_is_offered_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpn, "_INSTALLED", False)
    assert offered(()) == ["http/1.1"]


def test_what_is_named_is_offered_as_it_is_named() -> None:
    assert offered(("http/1.1", "lines/1")) == ["http/1.1", "lines/1"]


def test_http_2_by_name_without_its_library_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpn, "_INSTALLED", False)
    with pytest.raises(ProtocolMissing, match=r"pip install 'changeover\[http2\]'"):
        offered(("h2",))
