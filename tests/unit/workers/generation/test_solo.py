"""A plugin on its own is laid out as its manifest proposes."""

from pathlib import Path

import pytest

from changeover.workers.generation.solo import Application, RequirementUnmet, SoloSnapshot, Stored
from changeover.workers.plugins.manifest_reading import read_toml
from changeover.workers.protocol.snapshot import EMPTY, PipelineSpec, Snapshot


def stored(text: str) -> Stored:
    return Stored(read_toml(f'version = "1.0"\n{text}', "plugin.toml"), "a" * 64, b"\x80", Path())


def laid_out(*plugins: Stored, epoch: int = 1, before: Snapshot = EMPTY) -> Snapshot:
    solo = SoloSnapshot(epoch, before)
    solo.add_plugins({each.manifest.id: each for each in plugins})
    solo.add_services(plugins[-1].manifest)
    solo.add_application(plugins[-1].manifest, Application("a:b", str(Path("/"))))
    return solo.snapshot()


def test_a_snapshot_is_consistent_and_mounts_what_is_proposed() -> None:
    plugin = stored('id = "x"\nservices = { a = { mount = "/there" }, b = { entry = "x:b" } }')
    snapshot = laid_out(stored('id = "base"'), stored('id = "y"\nrequires = { base = ">=1" }'), plugin)
    assert list(snapshot.inconsistencies()) == []
    assert [(route.pipeline, route.path) for route in snapshot.routes] == [
        ("x:a", "/there"),
        ("x:b", "/b"),
        ("app", "/"),
    ]


def test_a_service_at_the_root_leaves_no_place_for_an_application() -> None:
    snapshot = laid_out(stored('id = "x"\nservices = { a = { mount = "/" } }'))
    assert [route.pipeline for route in snapshot.routes] == ["x:a"]


def test_equal_units_are_the_same_instances_and_changed_ones_are_not() -> None:
    first = laid_out(stored('id = "base"'), stored('id = "x"'))
    second = laid_out(stored('id = "base"'), stored('id = "x"\nhandlers = { h = "inbound" }'), epoch=2, before=first)
    assert [str(key.ref) for key in second.keys() - first.keys()] == ["pipeline app"]


def test_handlers_go_by_phase_and_by_what_they_say_of_each_other() -> None:
    plugin = stored("""
id = "x"
[handlers]
late = { direction = "inbound" }
early = { direction = "inbound", before = ["late"] }
third = { direction = "inbound", after = ["x:late"] }
guard = { direction = "inbound", phase = "security" }
""")
    pipeline = laid_out(plugin).units[-1]
    assert isinstance(pipeline, PipelineSpec)
    assert [handler.handler for handler in pipeline.handlers] == ["guard", "early", "late", "third"]


@pytest.mark.parametrize(
    "plugins",
    [
        [stored('id = "x"\nrequires = { nowhere = ">=1" }')],
        [stored('id = "x"\nrequires = { y = ">=1" }'), stored('id = "y"\nrequires = { x = ">=1" }')],
        [
            stored(
                'id = "x"\n[handlers]\na = { direction = "inbound", after = ["b"] }\n'
                'b = { direction = "inbound", after = ["a"] }'
            )
        ],
    ],
)
def test_what_cannot_be_ordered_says_what_requires_what(plugins: list[Stored]) -> None:
    with pytest.raises(RequirementUnmet, match=" requires "):
        laid_out(*plugins)
