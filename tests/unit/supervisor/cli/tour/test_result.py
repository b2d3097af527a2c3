from io import StringIO

import msgspec
import pytest
from rich.console import Console

from changeover.supervisor.cli.tour.load import Sample
from changeover.supervisor.cli.tour.result import Finding, Result, Window, asked_since, percentile
from changeover.supervisor.cli.tour.table import draw

SAMPLES = tuple(Sample(float(second), 0.5, 1 if second < 5 else 2, b"") for second in range(10))
RESULT = Result(SAMPLES, (), 0, (Window("2.0.0 by SIGHUP", 4.0, 4.2, 0.1, 0.001),), (Finding("it swaps", True, ""),))


def test_a_request_under_way_in_a_window_belongs_to_it() -> None:
    [inside, outside] = list(RESULT.latencies())
    assert (inside[3], outside[3]) == (1, 9)
    assert RESULT.epochs() == {1: 5, 2: 5}


def test_what_was_asked_before_and_answered_after_says_nothing_of_what_serves_since() -> None:
    late = Sample(4.9, 0.5, 1, b"")
    assert asked_since((*SAMPLES, late), 5.0) == list(SAMPLES[5:])


@pytest.mark.parametrize(
    "changed",
    [{"failures": ("503",)}, {"closes": 1}, {"findings": (Finding("it swaps", False, "it did not"),)}],
)
def test_one_thing_that_is_wrong_is_enough(changed: dict[str, object]) -> None:
    assert RESULT.well
    assert not msgspec.structs.replace(RESULT, **changed).well


@pytest.mark.parametrize(("percent", "expected"), [(50, 5.0), (99, 10.0), (10, 1.0)])
def test_a_percentile_is_a_value_that_occurred(percent: int, expected: float) -> None:
    assert percentile([float(value) for value in range(10, 0, -1)], percent) == expected
    assert percentile([], percent) == 0.0


def test_the_table_names_what_went_wrong() -> None:
    output = StringIO()
    wrong = msgspec.structs.replace(RESULT, findings=(Finding("it swaps", False, "it did not"),))
    draw(wrong, Console(file=output, width=120))
    assert "! not so: it swaps (found: it did not)" in output.getvalue()
    assert "2.0.0 by SIGHUP" in output.getvalue()
    assert "something did not go as it should" in output.getvalue()
