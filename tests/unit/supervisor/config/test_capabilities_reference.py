"""The documentation shows the table of capabilities, and every row of it was seen to be enforced."""

from pathlib import Path

import pytest

from changeover.supervisor.config.capabilities_reference import document
from changeover.workers.plugins.capabilities import NAMES, TABLE
from tests.unit.workers.preflight.test_audit import NEEDS

PAGE = Path(__file__).parents[4] / "docs" / "security.md"


def test_the_page_shows_the_table() -> None:
    page = PAGE.read_text("utf-8")
    assert document(page) == page, "run: python -m changeover.supervisor.config.capabilities_reference docs/security.md"


def test_a_page_without_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="capabilities: begin"):
        document("# Security\n")


def test_every_row_says_what_enforces_it_and_has_tests_that_show_it() -> None:
    assert all(capability.enforced and capability.allows and capability.unseen for capability in TABLE)
    assert {capability for capability, _ in NEEDS.values()} == set(NAMES)
    assert sorted(NAMES) == list(NAMES)
