"""Writes the probe plugin, or an application, with ever new content."""

from collections.abc import Mapping
from pathlib import Path

PROBE = Path(__file__).parent / "plugins" / "probe"
APPLICATION = Path(__file__).parent / "application"
STOREFRONT = Path(__file__).parent / "storefront"
SPEED = Path(__file__).parent / "speed"
FIRST = 100_000
"""Version of the original; all have as many digits, so that content changes and its size does not."""


class Contents:
    """A folder that a server reads, and the next content for it.

    Args:
        folder: What is replaced is put into it.
        original: The first content; its folder's name is kept.

    Attributes:
        folder: Where the content lies.
    """

    def __init__(self, folder: Path, original: Path = PROBE) -> None:
        self.folder = folder / original.name
        self._version = FIRST
        self._texts = {
            path.relative_to(original): path.read_text()
            for pattern in ("**/plugin.toml", "**/*.py")
            for path in original.glob(pattern)
        }
        self._originals = dict(self._texts)
        self._write(self._texts)

    @property
    def marker(self) -> str:
        """What the content that is on disk calls itself."""
        return f"v{self._version}"

    def renew(self) -> str:
        """Put new content on disk, and say what it calls itself."""
        self._version += 1
        changed = {path: text for path, text in self._texts.items() if str(FIRST) in text}
        self._write({path: text.replace(str(FIRST), str(self._version)) for path, text in changed.items()})
        return self.marker

    def text(self, path: str) -> str:
        """One file's content as it was put last, in the first version."""
        return self._texts[Path(path)]

    def original(self, path: str) -> str:
        """One file's first content, whatever was put in its place."""
        return self._originals[Path(path)]

    def put(self, texts: Mapping[str, str]) -> None:
        """Add files, or replace them, from now on and in whatever follows."""
        added = {Path(path): text for path, text in texts.items()}
        self._texts |= added
        self._write({path: text.replace(str(FIRST), str(self._version)) for path, text in added.items()})

    def append(self, path: str, text: str) -> None:
        """Put `text` behind one file's; renewing that file takes it away again."""
        with (self.folder / path).open("a") as file:
            file.write(text)

    def _write(self, texts: dict[Path, str]) -> None:
        for path, text in texts.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
