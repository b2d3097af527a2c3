"""The page on ready-made handlers lists each of them and all settings as the catalogue has them."""

from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.config.handlers_reference import document
from changeover.supervisor.config.reference import described
from changeover.workers.handlers.catalogue import CATALOGUE

PAGE = Path(__file__).parents[4] / "docs" / "handlers.md"


def test_the_page_is_fresh() -> None:
    page = PAGE.read_text("utf-8")
    assert document(page) == page, "run: python -m changeover.supervisor.config.handlers_reference docs/handlers.md"


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_setting_is_described(name: str) -> None:
    shape = CATALOGUE[name].settings
    assert {field.name for field in msgspec.structs.fields(shape)} == described(shape).keys()


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="handlers: begin"):
        document("# Handlers\n")
