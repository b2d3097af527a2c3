"""Clients that ask all the time, each on a connection that it keeps, while something happens to the server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from tests.service import Answer, Connection
from tests.waits import until


class Asking:
    """What clients were told.

    Attributes:
        answers: Each client's answers, in their order.
        failed: Connections that broke, and answers of another status than 200.
    """

    def __init__(self, clients: int) -> None:
        self.answers: list[list[str]] = [[] for _ in range(clients)]
        self.failed: list[str] = []

    @property
    def told(self) -> list[str]:
        """All answers."""
        return [answer for each in self.answers for answer in each]

    async def some(self, more: int = 3) -> None:
        """Wait until each client was told a few times more."""
        wanted = [len(each) + more for each in self.answers]
        await until(
            lambda: self.failed or all(len(each) >= want for each, want in zip(self.answers, wanted, strict=True)),
            "every client is answered",
            30,
        )

    async def _ask(self, address: str, path: str, told: list[str], over: asyncio.Event) -> None:
        connection = await Connection.open(address)
        try:
            while not over.is_set():
                self._note(await connection.get(path), told)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.failed.append(repr(error))
        finally:
            connection.close()

    def _note(self, answer: Answer, told: list[str]) -> None:
        if answer.status == 200:
            told.append(answer.body)
        else:
            self.failed.append(f"{answer.status} {answer.body}")


@contextlib.asynccontextmanager
async def asking(address: str, path: str | Callable[[int], str], clients: int = 6) -> AsyncIterator[Asking]:
    """Ask as long as the context lasts, and end between two answers.

    Args:
        address: The server's.
        path: What is asked for, by all clients or by each by its number.
        clients: How many ask at once.
    """
    asked, over = Asking(clients), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number, told in enumerate(asked.answers):
            where = path if isinstance(path, str) else path(number)
            group.create_task(asked._ask(address, where, told, over))
        try:
            await asked.some()
            yield asked
        finally:
            over.set()
