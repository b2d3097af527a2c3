"""The files of a resource, and what is wrong with them."""

from pathlib import Path


class Invalid(ValueError):
    """Something that was written by hand cannot be used.

    Attributes:
        where: File, line and perhaps column; or the text itself.
        reason: What is wrong.
    """

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where}: {reason}")


def shown(path: Path) -> str:
    """A file, as people know it."""
    return f"{path.parent.name}/{path.name}"


def text(path: Path) -> str:
    """What is in a file.

    Raises:
        Invalid: It is not UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(shown(path), f"not UTF-8: {error.reason} at byte {error.start}") from None
