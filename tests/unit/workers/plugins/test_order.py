"""One rule for the order of handlers, for whole configurations and for plugins under test."""

from graphlib import CycleError

import pytest

from changeover.workers.plugins.manifest import Direction, Handler, HandlerPhase
from changeover.workers.plugins.order import arranged, disorder, unordered
from changeover.workers.protocol.snapshot import HandlerRef


def ref(name: str) -> HandlerRef:
    return HandlerRef("shop", name)


def handler(
    phase: HandlerPhase = HandlerPhase.APP,
    after: tuple[str, ...] = (),
    before: tuple[str, ...] = (),
    direction: Direction = Direction.INBOUND,
) -> Handler:
    return Handler(direction, phase, after, before)


def test_phases_come_first_then_what_handlers_say_of_each_other_then_how_they_are_listed() -> None:
    declared = {
        ref("last"): handler(after=("shop:first",)),
        ref("first"): handler(),
        ref("other"): handler(),
        ref("door"): handler(HandlerPhase.SECURITY),
    }
    order = arranged(declared)
    assert order == (ref("door"), ref("first"), ref("other"), ref("last"))
    assert list(disorder(order, declared)) == []
    assert [index for index, _ in disorder((ref("first"), ref("door")), declared)] == [1]


def test_what_contradicts_itself_is_in_no_order() -> None:
    with pytest.raises(CycleError):
        arranged({ref("a"): handler(before=("b",), after=("b",)), ref("b"): handler()})


PLAIN = handler()
GUARD = handler(HandlerPhase.SECURITY)
CODEC = handler(HandlerPhase.CODEC)
LIMIT = handler(HandlerPhase.LIMIT)


@pytest.mark.parametrize(
    ("order", "declared", "told"),
    [
        ("a b", {"a": GUARD, "b": CODEC}, []),
        ("a b", {"a": CODEC, "b": LIMIT}, []),
        ("a b", {"a": LIMIT, "b": PLAIN}, []),
        ("a b", {"a": PLAIN, "b": PLAIN}, []),
        (
            "a b",
            {"a": PLAIN, "b": GUARD},
            [(1, "shop:b is of phase security and must come before shop:a of phase app")],
        ),
        ("a b", {"a": LIMIT, "b": GUARD}, [(1, "of phase security and must come before shop:a of phase limit")]),
        ("a b", {"a": CODEC, "b": GUARD}, [(1, "of phase security and must come before shop:a of phase codec")]),
        ("a b", {"a": LIMIT, "b": CODEC}, [(1, "of phase codec and must come before shop:a of phase limit")]),
        ("a b", {"a": PLAIN, "b": LIMIT}, [(1, "of phase limit and must come before shop:a of phase app")]),
        ("a b c", {"a": PLAIN, "b": PLAIN, "c": GUARD}, [(2, "before shop:a"), (2, "before shop:b")]),
        ("a b", {"a": handler(after=("b",)), "b": PLAIN}, [(1, "must come before shop:a, which declares `after` it")]),
        ("b a", {"a": handler(after=("b",)), "b": PLAIN}, []),
        ("a b", {"a": PLAIN, "b": handler(before=("shop:a",))}, [(1, "shop:b declares `before` shop:a, so it must")]),
        ("b a", {"a": PLAIN, "b": handler(before=("shop:a",))}, []),
        ("a b", {"a": handler(HandlerPhase.SECURITY, after=("b",)), "b": PLAIN}, [(1, "no order has both")]),
        (
            "a b",
            {"a": GUARD, "b": handler(before=("a",))},
            [(1, "shop:b declares `before` shop:a, but is of phase app")],
        ),
        ("a a", {"a": PLAIN}, [(1, "shop:a stands in this pipeline twice")]),
        ("a b a", {}, [(2, "shop:a stands in this pipeline twice")]),
        ("b a", {"a": GUARD}, []),
    ],
)
def test_an_order_is_held_against_what_handlers_declare(
    order: str, declared: dict[str, Handler], told: list[tuple[int, str]]
) -> None:
    found = list(disorder([ref(name) for name in order.split()], {ref(name): each for name, each in declared.items()}))
    assert [index for index, _ in found] == [index for index, _ in told]
    assert all(words in reason for (_, reason), (_, words) in zip(found, told, strict=True))


@pytest.mark.parametrize(
    ("declared", "pairs"),
    [
        ({"a": PLAIN, "b": PLAIN}, ["ab"]),
        ({"a": PLAIN, "b": GUARD}, []),
        ({"a": PLAIN, "b": handler(direction=Direction.OUTBOUND), "c": handler(direction=Direction.AROUND)}, []),
        ({"a": PLAIN, "b": handler(after=("a",))}, []),
        ({"a": handler(before=("b",)), "b": PLAIN}, []),
        ({"a": PLAIN, "b": handler(after=("a",)), "c": handler(after=("b",))}, []),
        ({"a": PLAIN, "b": handler(after=("a",)), "c": handler(after=("a",))}, ["bc"]),
        ({"a": PLAIN, "b": handler(after=("a",), direction=Direction.AROUND), "c": handler(after=("b",))}, []),
        ({"a": PLAIN, "b": PLAIN, "c": PLAIN}, ["ab", "ac", "bc"]),
    ],
)
def test_a_pair_is_unordered_when_its_handlers_meet_and_nothing_says_which_comes_first(
    declared: dict[str, Handler], pairs: list[str]
) -> None:
    found = unordered({ref(name): each for name, each in declared.items()})
    assert [first.handler + second.handler for first, second in found] == pairs
