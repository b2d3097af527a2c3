"""The page on configuration lists every setting as the Structs have it."""

from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.config.reference import described, document, tables
from changeover.supervisor.config.settings import App, Pipeline, PipelineMatch, Plugin, Plugins, Settings
from changeover.supervisor.config.sources import setting_keys, variable

PAGE = Path(__file__).parents[4] / "docs" / "configuration.md"


def test_the_page_is_fresh() -> None:
    page = PAGE.read_text("utf-8")
    assert document(page) == page, "run: python -m changeover.supervisor.config.reference docs/configuration.md"


def test_every_setting_is_in_the_tables_with_its_variable() -> None:
    text = tables()
    for key in setting_keys():
        assert f"| `{key[-1]}` |" in text
        assert f"`{variable(key)}`" in text


@pytest.mark.parametrize(
    "shape",
    [Settings, App, Plugins, Plugin, Pipeline, PipelineMatch, *(type(getattr(Settings(), name)) for name in
     ("drain", "history", "limits", "deadlines"))],
    ids=lambda shape: shape.__name__,
)  # fmt: skip
def test_every_setting_is_described(shape: type[msgspec.Struct]) -> None:
    assert {field.name for field in msgspec.structs.fields(shape)} == described(shape).keys()


def test_variables_do_not_collide() -> None:
    names = [variable(key) for key in setting_keys()]
    assert len(names) == len(set(names))


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="settings: begin"):
        document("# Configuration\n")
