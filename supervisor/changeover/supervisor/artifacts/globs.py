"""Globs as people write them, as one regular expression for names with `/`. Pure."""

import re
from collections.abc import Iterable


def compiled(globs: Iterable[str]) -> re.Pattern[str]:
    """An expression that matches whole names: `**/` is any folders or none, `*` and `?` stay in one name."""
    return re.compile("|".join(f"(?:{_pattern(glob)})" for glob in globs) or r"(?!)")


def _pattern(glob: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part, re.escape(part)) for part in parts)
