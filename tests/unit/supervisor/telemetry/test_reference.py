"""The pages on events and on the HTTP API say what the code says."""

from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.api import reference as api_reference
from changeover.supervisor.config.reference import described
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.telemetry import reference
from changeover.supervisor.telemetry.reference import RECURRING, every_record

DOCS = Path(__file__).parents[4] / "docs"


def test_the_page_on_events_is_fresh() -> None:
    page = (DOCS / "events.md").read_text("utf-8")
    fresh = reference.document(page, reference.body())
    assert fresh == page, "run: python -m changeover.supervisor.telemetry.reference docs/events.md"


def test_the_page_on_the_http_api_is_fresh() -> None:
    page = (DOCS / "http-api.md").read_text("utf-8")
    fresh = reference.document(page, api_reference.body())
    assert fresh == page, "run: python -m changeover.supervisor.api.reference docs/http-api.md"


def descendants(shape: type[Record]) -> set[type[Record]]:
    return {shape}.union(*map(descendants, shape.__subclasses__()))


def test_no_record_is_left_out() -> None:
    ours = {each for each in descendants(Record) if each.__module__.startswith("changeover.")}
    assert set(every_record()) == {each for each in ours if not each.__subclasses__()}


@pytest.mark.parametrize("shape", every_record(), ids=lambda shape: shape.__name__)
def test_every_field_of_a_record_has_a_meaning(shape: type[Record]) -> None:
    known = {
        name for ancestor in shape.__mro__ if hasattr(ancestor, "__struct_fields__") for name in described(ancestor)
    }
    assert {field.name for field in msgspec.structs.fields(shape)} <= known | RECURRING.keys()


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no <!-- reference"):
        reference.document("# Events\n", "")
