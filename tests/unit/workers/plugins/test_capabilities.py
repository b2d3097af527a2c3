"""What a plugin asks for, what it is granted, and what is said where the two differ."""

import pytest

from changeover.workers.plugins.capabilities import granted, lacking, refusal, unknown


def test_nothing_is_granted_that_nobody_asks_for() -> None:
    assert granted(("net", "exec", "net"), ("write", "net")) == ("net",)
    assert granted((), ("net",)) == ()


def test_what_is_asked_for_and_not_granted_is_lacking() -> None:
    assert lacking(("net", "exec", "write"), ("net",)) == ("exec", "write")
    assert lacking(("net",), ("net", "exec")) == ()


def test_the_setting_to_write_keeps_what_is_granted_already() -> None:
    assert refusal(("exec", "write"), ("net",), "[plugins.pricing]") == (
        'asks for exec and write, which is not granted; write `grant = ["exec", "net", "write"]` in [plugins.pricing]'
    )


@pytest.mark.parametrize(
    ("name", "hint"), [("nett", "; did you mean `net`?"), ("Net", "; did you mean `net`?"), ("sudo", "")]
)
def test_an_unknown_name_lists_the_known_ones(name: str, hint: str) -> None:
    assert unknown(name) == f"{name!r} is none of exec, native, net, write{hint}"


def test_a_known_name_is_no_mistake() -> None:
    assert unknown("net") == ""
