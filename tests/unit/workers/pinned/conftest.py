"""Applications that are pinned in an interpreter of their own, while what lies on disk changes."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from changeover.workers.plugins import artifact

PIN = """
import sys
from pathlib import Path
from changeover.workers.generation.pinning import pin_application
app = Path({app!r})
sys.path.insert(0, str(app))
{before}
pin_application(Path({store!r}), app, {digest!r}, "", since=7)
"""


class PinnedApp:
    """An application as it was taken, and as it lies on disk now.

    Attributes:
        folder: The application's.
        store: Where its content was put.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "app"
        self.store = root / "store"
        self.folder.mkdir()
        self.digest = ""

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))

    def take(self, files: Mapping[str, str]) -> None:
        """Write files, and store all that is there as the content."""
        self.write(files)
        self.digest = artifact.put(self.store, artifact.read_files(self.folder))

    def run(self, code: str, before: str = "", folder: Path | None = None) -> list[str]:
        """Run `code` in an interpreter that pinned the content; what it printed, by lines."""
        done = self.attempt(code, before, folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def attempt(self, code: str, before: str = "", folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Run `code` in an interpreter that pinned the content, after `before`."""
        pin = PIN.format(app=str(folder or self.folder), store=str(self.store), digest=self.digest, before=before)
        command = [sys.executable, "-P", "-W", "error", "-c", pin + dedent(code)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def app(tmp_path: Path) -> PinnedApp:
    """An application of which nothing is taken yet."""
    return PinnedApp(tmp_path)
