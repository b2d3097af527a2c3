"""One rule for the order of handlers, for whole configurations and for plugins under test."""

from graphlib import CycleError

import pytest

from changeover.workers.plugins.manifest import Direction, Handler, HandlerPhase
from changeover.workers.plugins.order import arranged, disorder
from changeover.workers.protocol.snapshot import HandlerRef


def ref(name: str) -> HandlerRef:
    return HandlerRef("shop", name)


def handler(
    phase: HandlerPhase = HandlerPhase.APP, after: tuple[str, ...] = (), before: tuple[str, ...] = ()
) -> Handler:
    return Handler(Direction.INBOUND, phase, after, before)


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
