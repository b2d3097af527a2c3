"""Globs as people write them, as one regular expression for names with `/`. Pure.

Who writes a glob or a name may want it to take for ever: what stands before the next wildcard is matched where it comes
first, and nowhere else afterwards. No other place could do better, as all of a wildcard's reach is still there.
"""

import re
from collections.abc import Iterable, Iterator

_WILD = re.compile(r"((?<![^/])\*\*/|\*\*|\*)")
_DEEP = {"": "", "**/": "(?:.*?/)??", "**": ".*?"}


def compiled(globs: Iterable[str]) -> re.Pattern[str]:
    """An expression that matches whole names: `**/` is any folders or none, `*` and `?` stay in one name."""
    return re.compile("|".join(_pattern(glob) for glob in globs) or r"(?!)", re.DOTALL)


def _pattern(glob: str) -> str:
    return "".join(f"(?>{_DEEP[deep]}{''.join(shallow)})" for deep, shallow in _between_folders(f"{glob}\0"))


def _between_folders(glob: str) -> Iterator[tuple[str, list[str]]]:
    """Each wildcard that crosses folders, and what follows it up to the next."""
    first, *rest = _WILD.split(glob)
    deep, shallow = "", [_plain(first)]
    for wildcard, text in zip(rest[::2], rest[1::2], strict=True):
        if wildcard == "*":
            shallow.append(f"(?>[^/]*?{_plain(text)})")
        else:
            yield deep, shallow
            deep, shallow = wildcard, [_plain(text)]
    yield deep, shallow


def _plain(text: str) -> str:
    r"""Text without `*`; the end is written `\0`, which no name has."""
    meaning = {"?": "[^/]", "\0": r"\Z"}
    return "".join(meaning.get(char, re.escape(char)) for char in text)
