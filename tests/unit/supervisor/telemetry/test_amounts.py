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


def test_no_change_is_said() -> None:
    assert changes([]) == "no change of content"
    assert changes(["not taken: geo"]) == "not taken: geo"
