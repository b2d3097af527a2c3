"""When changed content is taken, as people write it."""

import pytest

from changeover.workers.protocol.reload import DISABLED, ON_CHANGE, ON_SIGNAL, Reload, When, read_reload


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("on-change", ON_CHANGE),
        ("on-signal", ON_SIGNAL),
        ("disabled", DISABLED),
        ("every 60s", Reload(When.EVERY, 60.0)),
        ("every 5m", Reload(When.EVERY, 300.0)),
        ("every 1.5", Reload(When.EVERY, 1.5)),
    ],
)
def test_every_form_is_read_and_shown_so_that_it_can_be_read_again(written: str, meant: Reload) -> None:
    assert read_reload(written) == meant
    assert read_reload(str(meant)) == meant


def test_only_changes_and_schedules_are_taken_without_being_asked_for() -> None:
    assert [each.automatic for each in (ON_CHANGE, Reload(When.EVERY, 60.0), ON_SIGNAL, DISABLED)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("on-chnage", "did you mean `on-change`"),
        ("every", "one of on-change, on-signal, disabled, or `every 60s`"),
        ("every day", "'day' is no duration"),
        ("every 10ms", "too often: at least every 1s"),
    ],
)
def test_what_is_no_form_is_refused_with_what_would_be(written: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_reload(written)
