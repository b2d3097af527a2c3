"""Long lists stay one short line."""

from changeover.supervisor.telemetry.amounts import changes, named

HELD = "(held; change it, or --force)"


def test_a_few_names_are_all_told_and_many_are_counted() -> None:
    assert named(["a", "b", "c"]) == "a, b, c"
    assert named(map(str, range(100))) == "0, 1, 2 and 97 more"


def test_a_name_is_told_once() -> None:
    assert named(["prices 1.0.1", "prices 1.0.1", "geo 2"]) == "prices 1.0.1, geo 2"


def test_what_is_left_out_does_not_hide_what_changes() -> None:
    held = [f"not taken: {name} 1.0.1 {HELD}" for name in "abcde"]
    assert changes([*held, "shop 1 -> 2", "+1 route"]) == (
        f"shop 1 -> 2, +1 route; not taken: a 1.0.1 {HELD}, b 1.0.1 {HELD}, c 1.0.1 {HELD} and 2 more"
    )


def test_what_has_no_effect_does_not_hide_what_changes_either() -> None:
    unused = [f"unused: handler shop:{name} is in no pipeline" for name in "abcd"]
    stray = "ignored: plugins/notes.txt (no folder, wheel or Python file)"
    assert changes([*unused, stray, "shop 1 -> 2", "not taken: geo"]) == (
        "shop 1 -> 2; not taken: geo; unused: handler shop:a is in no pipeline, handler shop:b is in no pipeline, "
        "handler shop:c is in no pipeline and 1 more; ignored: plugins/notes.txt (no folder, wheel or Python file)"
    )


def test_no_change_is_said() -> None:
    assert changes([]) == "no change of content"
    assert changes(["not taken: geo"]) == "not taken: geo"
