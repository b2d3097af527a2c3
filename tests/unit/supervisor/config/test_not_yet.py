"""A setting that nothing acts on yet is taken from nobody and listed nowhere."""

from pathlib import Path

import pytest

from changeover.supervisor.cli.printed_settings import toml
from changeover.supervisor.config import not_yet, rules
from changeover.supervisor.config.check import judge
from changeover.supervisor.config.not_yet import ANY, NOT_YET
from changeover.supervisor.config.reference import tables
from changeover.supervisor.config.settings import App, Deadlines, Plugin, Plugins, Preflight, Recycle, Settings
from changeover.supervisor.config.sources import Merged, setting_keys
from changeover.workers.protocol.document import Mistake


def written(key: tuple[str, ...]) -> dict[str, object]:
    value: object = "whatever"
    for part in reversed(key):
        value = {"pricing" if part == ANY else part: value}
    assert isinstance(value, dict)
    return value


def mistakes_in(table: dict[str, object]) -> list[str]:
    merged = Merged({"app": {"target": "a:b"}, **table}, "changeover.toml", Path("/srv"), Path("/srv"))
    return [str(error) for error in judge(merged).errors]


@pytest.mark.parametrize("key", sorted(NOT_YET), ids=".".join)
def test_it_is_refused_with_its_place_and_nothing_else_is(key: tuple[str, ...]) -> None:
    place = ".".join(key).replace(ANY, "pricing")
    assert mistakes_in(written(key)) == [f"changeover.toml: $.{place}: not supported by this version; leave it out"]


def test_what_stands_beside_it_is_still_judged() -> None:
    assert mistakes_in({"plugins": {"pricing": {"grant": ["net"]}}, "deadlines": {"prepare": "long", "hook": 1}}) == [
        "changeover.toml: $.plugins.pricing.grant: not supported by this version; leave it out",
        "changeover.toml: $.deadlines.prepare: 'long' is no duration: write seconds, or a number with ms, s, m, h or d "
        "(`30s`)",
    ]


def test_it_is_in_no_table_no_variable_and_no_printed_configuration() -> None:
    assert not [key for key in setting_keys() if not not_yet.is_listed(key)]
    settings = Settings(app=App("a:b"), plugins=Plugins("plugins", entries={"pricing": Plugin()}))
    names = {line.partition(" = ")[0] for line in toml(settings)}
    for key in NOT_YET:
        place = ".".join(key).replace(ANY, "pricing")
        assert not [name for name in names if name == place or name.startswith(f"{place}.")]
    assert not [key for key in NOT_YET if len(key) == 1 and f"`[{key[0]}]`" in tables()]


def test_what_they_must_be_is_known_already() -> None:
    wrong = Settings(
        name="shop",
        app=App("a:b", "/srv"),
        preflight=Preflight(memory=1, processes=1, output=-1),
        deadlines=Deadlines(preflight=0),
        recycle=Recycle(leaks=-1),
    )
    found: list[Mistake] = rules.mistakes(wrong)
    assert [mistake.path for mistake in found] == [
        "$.preflight.memory",
        "$.preflight.processes",
        "$.preflight.output",
        "$.deadlines.preflight",
        "$.recycle.leaks",
    ]
