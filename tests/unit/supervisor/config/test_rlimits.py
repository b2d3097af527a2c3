"""Limits as people write them."""

import resource

import pytest

from changeover.supervisor.config.rlimits import BadRlimit, Rlimit, mistakes, parse_rlimit

NOFILE = resource.RLIMIT_NOFILE


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=65536", Rlimit("nofile", NOFILE, 65536, 65536)),
        ("nofile=1024:65536", Rlimit("nofile", NOFILE, 1024, 65536)),
        ("nofile=1024:unlimited", Rlimit("nofile", NOFILE, 1024, -1)),
        ("core=unlimited", Rlimit("core", resource.RLIMIT_CORE, -1, -1)),
        ("core=0", Rlimit("core", resource.RLIMIT_CORE, 0, 0)),
        ("as=1GB:2GiB", Rlimit("as", resource.RLIMIT_AS, 10**9, 2 << 30)),
    ],
)
def test_a_limit_is_one_value_or_two(text: str, limit: Rlimit) -> None:
    assert parse_rlimit(text) == limit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nofiles=1", "'nofiles' is no limit of this system; did you mean `nofile`?"),
        ("nofile", "write it like `nofile=65536`"),
        ("nofile=many", "write it like"),
        ("nofile=1:", "write it like"),
        ("nofile=-1", "write it like"),
        ("as=-1MB", "write it like"),
        ("nofile=1kB", "sizes alone have units"),
        ("nofile=99999999999999999999", "write it like"),
        ("nofile=9:8", "a soft limit above its hard one"),
        ("nofile=unlimited:8", "a soft limit above its hard one"),
    ],
)
def test_what_is_no_limit_is_refused_with_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(BadRlimit, match=message):
        parse_rlimit(text)


def test_mistakes_have_their_place_and_a_limit_stands_once() -> None:
    found = mistakes("$.rlimits", ("nofile=1", "x=1", "nofile=2"))
    assert [(mistake.path, mistake.message.partition(";")[0]) for mistake in found] == [
        ("$.rlimits[1]", "'x' is no limit of this system"),
        ("$.rlimits[2]", "nofile stands here twice"),
    ]


@pytest.mark.parametrize(("hard", "exceeds"), [(100, False), (99, True), (-1, False)])
def test_a_limit_is_compared_with_the_hard_one_that_is(hard: int, exceeds: bool) -> None:
    assert Rlimit("nofile", NOFILE, 50, 100).exceeds(hard) is exceeds
    assert Rlimit("nofile", NOFILE, 50, -1).exceeds(hard) is (hard != -1)
