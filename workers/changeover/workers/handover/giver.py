"""Gives the state of plugins to successors, over the links of a departure."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from changeover.workers.handover import effects, events, outbound
from changeover.workers.handover.errors import NotTaken
from changeover.workers.handover.events import Event
from changeover.workers.handover.link import Link
from changeover.workers.handover.messages import State, StateRefused, StateTaken, encode
from changeover.workers.handover.sealed import seal
from changeover.workers.handover.sender import Sender
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Refusal

LOOK_AGAIN = 0.005
"""Seconds between two attempts to send what the system did not take."""


@dataclass(slots=True)
class _Given:
    """What is on its way: its message, its bytes, who waits for the answer, and who hears that it was taken later."""

    state: State
    fd: int
    answer: asyncio.Future[StateTaken | StateRefused | None]
    late: Callable[[], None]
    is_sent: bool = False


class Giver:
    """Sends state, and says what became of it.

    Args:
        loop: The worker's loop.
        links: The departure's, by receiver.
        sender: Decides.
        feed: Tells it what happened.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        links: Mapping[WorkerId, Link],
        sender: Sender,
        feed: Callable[[Event], None],
    ) -> None:
        self._loop = loop
        self._links = links
        self._sender = sender
        self._feed = feed
        self._given: dict[int, _Given] = {}

    def reaches(self, receiver: WorkerId) -> bool:
        """Whether a receiver is there, and takes the state of plugins."""
        return self._sender.takes_state(receiver)

    def lacks(self, receiver: WorkerId) -> bool:
        """Whether a receiver is there, and takes no state: it runs a program that knows of none."""
        return self._sender.link(receiver) in outbound.REACHED and not self._sender.takes_state(receiver)

    def owes(self, id: int) -> bool:
        """Whether what was given under a number may still be answered."""
        return id in self._given

    async def deliver(
        self,
        receiver: WorkerId,
        state: State,
        imported: bytes,
        latest: bytes,
        deadline: float,
        late: Callable[[], None],
    ) -> Refusal | None:
        """Give the state of one plugin.

        Args:
            receiver: To whom.
            state: What it is.
            imported: What was taken the last time.
            latest: What it is now.
            deadline: Seconds until it has to be answered.
            late: Told when it was taken, and that was said only after the deadline.

        Returns:
            Why the receiver refused it; None when it was taken.

        Raises:
            NotTaken: Nothing was said about it: the link ended, or the time did.
        """
        try:
            fd = seal(f"state of {state.plugin}", imported, latest)
        except OSError as error:
            raise NotTaken(receiver, state.plugin, error.strerror or str(error)) from None
        try:
            async with asyncio.timeout(deadline):
                answer = await self._answer(receiver, state, fd, late)
        except TimeoutError:
            raise NotTaken(receiver, state.plugin, f"it did not answer within {deadline:g} s") from None
        finally:
            os.close(fd)
        if answer is None:
            raise NotTaken(receiver, state.plugin, "its link ended")
        return answer.refusal if isinstance(answer, StateRefused) else None

    async def _answer(
        self, receiver: WorkerId, state: State, fd: int, late: Callable[[], None]
    ) -> StateTaken | StateRefused | None:
        while True:
            given = self._given[state.id] = _Given(state, fd, self._loop.create_future(), late)
            self._feed(events.StateReady(receiver, state.id))
            answer = await given.answer
            if answer is not None or given.is_sent or not self.reaches(receiver):
                return answer
            await asyncio.sleep(LOOK_AGAIN)

    def send(self, effect: effects.Give) -> None:
        """Send what the machine wants sent."""
        given = self._given[effect.id]
        try:
            self._links[effect.receiver].send(encode(given.state), [given.fd])
        except OSError:
            self._feed(events.StateNotSent(effect.id))
        else:
            given.is_sent = True
            self._feed(events.StateSent(effect.id))

    def settle(self, effect: effects.Settle) -> None:
        """Tell who waits, or did."""
        given = self._given.pop(effect.id)
        if not given.answer.done():
            given.answer.set_result(effect.answer)
        elif isinstance(effect.answer, StateTaken):
            given.late()
