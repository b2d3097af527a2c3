"""What several workers counted is added up by name."""

import msgspec

from changeover.workers.protocol.counted import Counts, HandlerCounts, PipelineCounts, ServiceCounts, total

ONE = Counts(
    {"shop": PipelineCounts({"/": 3}, {"2xx": 2, "5xx": 1}, {"pricing:discount": HandlerCounts(2, 30, 20, 1, 0)})},
    {"app": ServiceCounts(4, 1)},
    {"not_found": 5},
)
OTHER = Counts(
    {
        "shop": PipelineCounts({"/": 1, "/b": 2}, {"2xx": 3}, {"pricing:discount": HandlerCounts(1, 5, 5, 0, 7)}),
        "geo": PipelineCounts({"/geo": 9}),
    },
    {"app": ServiceCounts(1, 1)},
    {"not_found": 1, "empty": 1},
)


def test_numbers_of_the_same_name_are_added_and_the_longest_is_kept() -> None:
    both = total((ONE, OTHER))
    assert both.pipelines["shop"].routes == {"/": 4, "/b": 2}
    assert both.pipelines["shop"].responses == {"2xx": 5, "5xx": 1}
    assert both.pipelines["shop"].handlers == {"pricing:discount": HandlerCounts(3, 35, 20, 1, 7)}
    assert both.pipelines["geo"].hits == 9
    assert both.services == {"app": ServiceCounts(5, 2)}
    assert both.misses == {"not_found": 6, "empty": 1}
    assert both.requests == ONE.requests + OTHER.requests == 22


def test_the_order_does_not_matter_and_nothing_adds_nothing() -> None:
    assert total((ONE, OTHER)) == total((OTHER, Counts(), ONE))
    assert total(()) == Counts()


def test_nobody_is_unready_in_a_worker_that_is_gone() -> None:
    assert ONE.at_rest().services == {"app": ServiceCounts(4, 0)}
    assert ONE.at_rest().requests == ONE.requests


def test_counts_of_an_older_and_a_newer_program_are_read() -> None:
    newer = msgspec.json.encode({**msgspec.to_builtins(ONE), "later": 1})
    assert msgspec.json.decode(newer, type=Counts) == ONE
    assert msgspec.json.decode(b"{}", type=Counts) == Counts()
