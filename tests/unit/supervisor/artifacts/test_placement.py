"""Where a handler comes to stand: every rule of placement, as a table."""

import pytest

from changeover.supervisor.artifacts.placement import Misplaced, edited
from changeover.supervisor.core.edits import Add, Remove, Replace
from changeover.workers.plugins.manifest import Direction, Handler, HandlerPhase
from changeover.workers.protocol.snapshot import HandlerRef


def ref(name: str) -> HandlerRef:
    return HandlerRef("shop", name)


DECLARED = {
    ref("guard"): Handler(Direction.INBOUND, HandlerPhase.SECURITY),
    ref("unpack"): Handler(Direction.INBOUND, HandlerPhase.CODEC),
    ref("quota"): Handler(Direction.INBOUND, HandlerPhase.LIMIT),
    ref("price"): Handler(Direction.INBOUND),
    ref("tax"): Handler(Direction.INBOUND, after=("price",)),
    ref("early"): Handler(Direction.INBOUND, before=("price",)),
    ref("other"): Handler(Direction.INBOUND),
    ref("stamp"): Handler(Direction.OUTBOUND),
    ref("never"): Handler(Direction.INBOUND, after=("price",), before=("price",)),
}


def after(start: str, step: Add | Remove | Replace) -> str:
    handlers = tuple(ref(name) for name in start.split())
    return " ".join(handler.handler for handler in edited(handlers, step, DECLARED))


@pytest.mark.parametrize(
    ("start", "step", "end"),
    [
        ("", Add("shop:price"), "price"),
        ("guard price", Add("shop:quota"), "guard quota price"),
        ("guard quota price", Add("shop:unpack"), "guard unpack quota price"),
        ("quota price", Add("shop:guard"), "guard quota price"),
        ("guard quota", Add("shop:price"), "guard quota price"),
        ("price", Add("shop:tax"), "price tax"),
        ("guard price", Add("shop:early"), "guard early price"),
        ("price", Add("shop:stamp"), "price stamp"),
        ("price other", Add("shop:stamp", before="shop:other"), "price stamp other"),
        ("price tax", Add("shop:other", before="shop:tax"), "price other tax"),
        ("price tax", Add("shop:other", after="shop:price"), "price other tax"),
        ("price tax", Add("shop:other", after="shop:tax"), "price tax other"),
        ("price tax", Add("shop:other", at=0), "other price tax"),
        ("price tax", Add("shop:other", at=2), "price tax other"),
        ("guard price", Add("shop:unheard-of"), "guard price unheard-of"),
        ("price", Add("shop:never"), "price never"),
        ("guard price tax", Remove("shop:price"), "guard tax"),
        ("guard price tax", Replace("shop:price", "shop:other"), "guard other tax"),
    ],
)
def test_a_step_puts_handlers_where_it_says_or_where_they_must_be(
    start: str, step: Add | Remove | Replace, end: str
) -> None:
    assert after(start, step) == end


@pytest.mark.parametrize(
    ("start", "step", "why"),
    [
        ("price", Add("shop:other"), "handler: nothing says whether shop:other comes before shop:price or after it"),
        ("other tax", Add("shop:price"), "handler: nothing says whether shop:price comes before shop:other or after"),
        (
            "price",
            Add("shop:other", before="shop:tax"),
            "before: shop:tax is not in this pipeline, which has shop:price",
        ),
        ("price", Add("shop:other", after="shop:pride"), "did you mean `shop:price`?"),
        ("", Add("shop:other", after="shop:price"), "after: shop:price is not in this pipeline, which has no handlers"),
        ("price", Add("shop:other", at=2), "at: there is no place 2: places are counted from 0, and 1 is the last"),
        ("price", Add("shop:other", at=-1), "at: there is no place -1"),
        ("price", Add("shop:other", before="shop:price", at=0), "say one of `before`, `after` and `at`"),
        ("price", Remove("shop:tax"), "handler: shop:tax is not in this pipeline"),
        ("price price", Remove("shop:price"), "handler: shop:price stands in this pipeline 2 times"),
        ("price", Replace("shop:tax", "shop:other"), "handler: shop:tax is not in this pipeline"),
    ],
)
def test_a_step_that_leaves_open_what_it_means_is_refused_with_its_field(
    start: str, step: Add | Remove | Replace, why: str
) -> None:
    with pytest.raises(Misplaced) as misplaced:
        after(start, step)
    assert why in str(misplaced.value)


def test_settings_travel_with_a_handler() -> None:
    [added] = edited((), Add({"use": "shop:price", "b": 1, "a": "x"}), DECLARED)
    assert added == HandlerRef("shop", "price", b'{"a":"x","b":1}')
