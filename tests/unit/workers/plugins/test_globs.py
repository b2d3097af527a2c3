"""Globs select names as everybody expects, and none takes for ever."""

import itertools
import time

import pytest

from changeover.workers.plugins.globs import compiled


def matches(glob: str, name: str) -> bool:
    """What is to match, the slow way: every wildcard is tried at every length."""
    if not glob:
        return not name
    if glob.startswith("**") and not glob.startswith("**/"):
        return any(matches(glob[2:], name[cut:]) for cut in range(len(name) + 1))
    if glob.startswith("**/"):
        starts = [0, *(cut + 1 for cut, char in enumerate(name) if char == "/")]
        return any(matches(glob[3:], name[cut:]) for cut in starts)
    if glob[0] == "*":
        reach = len(name.partition("/")[0])
        return any(matches(glob[1:], name[cut:]) for cut in range(reach + 1))
    same = name[:1] not in ("", "/") if glob[0] == "?" else name[:1] == glob[0]
    return same and matches(glob[1:], name[1:])


@pytest.mark.parametrize(
    ("glob", "names", "others"),
    [
        ("rules/*.toml", ["rules/a.toml", "rules/.toml"], ["rules/a/b.toml", "rules/a.toml.x", "a.toml"]),
        ("rules/**/*.toml", ["rules/a.toml", "rules/a/b/c.toml"], ["rules.toml", "rules/a.tom"]),
        ("**/**/x", ["x", "a/x", "a/b/c/x"], ["ax", "x/a"]),
        ("templates/**", ["templates/a", "templates/a/b", "templates/a\n"], ["templates", "other/templates/a"]),
        ("?.[p]y", ["a.[p]y"], ["a.py", ".[p]y", "/.[p]y"]),
        ("a**/b", ["a/b", "ax/y/b"], ["ab", "a/xb"]),
    ],
)
def test_what_a_glob_selects(glob: str, names: list[str], others: list[str]) -> None:
    assert [name for name in (*names, *others) if compiled([glob]).fullmatch(name)] == names


def test_every_short_glob_selects_what_the_slow_way_selects() -> None:
    names = ["".join(each) for length in range(6) for each in itertools.product("ab/", repeat=length)]
    for parts in itertools.product(("", "a", "b", "/", "*", "**", "/**/"), repeat=4):
        glob = "".join(parts)
        if "***" in glob or "a**/" in glob or "b**/" in glob:
            continue
        selects = compiled([glob])
        assert [name for name in names if selects.fullmatch(name)] == [name for name in names if matches(glob, name)]


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("**/" * 30 + "x", "a/" * 500),
        ("**/a/" * 30 + "x", "a/" * 500),
        ("*a" * 30 + "x", "a" * 255),
        ("**a" * 30 + "x", "a/" * 500),
        ("**/*a" * 30 + "x", "aa/" * 300),
    ],
)
def test_no_glob_takes_for_ever(glob: str, name: str) -> None:
    began = time.thread_time()
    assert compiled([glob]).fullmatch(name) is None
    assert time.thread_time() - began < 1
