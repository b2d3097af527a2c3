"""Writes the probe plugin with ever new content."""

from pathlib import Path

ORIGINAL = Path(__file__).parent / "plugins" / "probe"
FIRST = 100_000
"""Version of the original; all have as many digits, so that content changes and its size does not."""


class Contents:
    """The plugin folder that a server reads, and the next content for it.

    Args:
        folder: Where plugins lie; the probe is put into it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "probe"
        self._version = FIRST
        self._texts = {
            path.relative_to(ORIGINAL): path.read_text()
            for pattern in ("plugin.toml", "**/*.py")
            for path in ORIGINAL.glob(pattern)
        }
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

    def _write(self, texts: dict[Path, str]) -> None:
        for path, text in texts.items():
            target = self._folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
