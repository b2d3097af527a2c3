"""The program that this supervisor runs: how it came here, and how another one takes its place."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

from changeover.supervisor.upgrade.archive import keep_program
from changeover.supervisor.upgrade.errors import ImageUnfit, NotExecuted
from changeover.supervisor.upgrade.execution import execute
from changeover.supervisor.upgrade.handed import Handed, Inherited
from changeover.supervisor.upgrade.launch import Launch
from changeover.supervisor.upgrade.rehearsal import rehearse


class Program:
    """One program in one process.

    Args:
        launch: How it was started.
        inherited: What the program before left it; None for the first one.
    """

    def __init__(self, launch: Launch, inherited: Inherited | None) -> None:
        self._launch = launch
        self.inherited = inherited
        self._archive: asyncio.Future[int] | None = None

    @property
    def handed(self) -> Handed | None:
        """What the program before handed over."""
        return None if self.inherited is None else self.inherited.handed

    @property
    def comes_back(self) -> bool:
        """Whether it ran this service before, and the one that was to be next did not come up."""
        return self.inherited is not None and bool(self.inherited.fell_back)

    @property
    def python(self) -> str:
        """The interpreter that runs it."""
        return self._launch.python

    def keep(self) -> None:
        """Keep what runs, once, beside everything else, for the way back to it; called on the loop."""
        if self._archive is None or (self._archive.done() and self._archive.exception() is not None):
            self._archive = asyncio.ensure_future(asyncio.to_thread(keep_program))

    async def rehearse(self, python: str, copy_journal: Callable[[Path], Awaitable[None]], handed: Handed) -> str:
        """Try another program in a child.

        Args:
            python: The interpreter that is to run it; empty for ours.
            copy_journal: Copies the journal into a file.
            handed: What the other program would be handed.

        Returns:
            Its version.

        Raises:
            ImageUnfit: It cannot take over, or nothing could be tried.
        """
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="changeover-upgrade-"))
        try:
            await self._kept()
            copy = folder / "journal.sqlite3"
            await copy_journal(copy)
            return (await rehearse(self._launch, python or self.python, copy, handed)).version
        except OSError as error:
            raise ImageUnfit(python or self.python, f"it could not be tried: {error}") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def execute(self, python: str, handed: Handed) -> NoReturn:
        """Become another program.

        Raises:
            NotExecuted: The system does not let us; nothing has changed.
        """
        if self._archive is None or not self._archive.done():
            raise NotExecuted(python or self.python, "what runs now is not kept, so there would be no way back")
        execute(self._launch, python or self.python, self._archive.result(), handed)

    async def _kept(self) -> int:
        self.keep()
        assert self._archive is not None
        return await self._archive
