"""What can be done to what serves, without a file. `op` tells the steps of an edited pipeline apart."""

from typing import Any

import msgspec

Written = str | dict[str, Any]
"""A handler as `[[pipelines]]` names it: its name, or a table with `use` and settings."""


class Edit(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True):
    """One step."""


class Add(Edit, frozen=True, tag="add"):
    """`"op": "add"`: put a handler in, at a place that is said, or at the only one that its phase and `after` leave.

    Attributes:
        handler: What to add: a name, or a table with `use` and settings.
        before: The handler that it comes right before; empty for none.
        after: The handler that it comes right behind; empty for none.
        at: Its place, counted from 0; null for none.
    """

    handler: Written
    before: str = ""
    after: str = ""
    at: int | None = None


class Remove(Edit, frozen=True, tag="remove"):
    """`"op": "remove"`: take a handler out.

    Attributes:
        handler: Its name.
    """

    handler: str


class Replace(Edit, frozen=True, tag="replace"):
    """`"op": "replace"`: put a handler in the place of another, or give it other settings.

    Attributes:
        handler: The name of the one that is there.
        by: What takes its place: a name, or a table with `use` and settings.
    """

    handler: str
    by: Written


class PipelineEdit(msgspec.Struct, frozen=True):
    """An edit of one pipeline: all its steps, or none.

    Attributes:
        pipeline: Its name.
        steps: In order; each sees what those before it did.
        if_digest: The digest that the pipeline must have; empty for any.
    """

    pipeline: str
    steps: tuple[Add | Remove | Replace, ...]
    if_digest: str = ""


class RemovePlugin(msgspec.Struct, frozen=True, tag=True):
    """A plugin that is not to serve any more, whatever lies on disk.

    Attributes:
        plugin: Its id.
    """

    plugin: str
