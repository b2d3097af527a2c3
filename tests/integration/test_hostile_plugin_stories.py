"""Hostile plugins are offered to a server that serves: each is refused with a reason, and nobody else notices."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from changeover.server import Committed, Refused, Server
from tests.hostile_plugins.corpus import COUNT, corpus
from tests.hostile_plugins.offer import SERVING, VICTIM, Offer, put, take_back
from tests.service import Story, kill, status_when
from tests.waits import until

CORPUS = {offer.name: offer for offer in corpus()}
FEW = (
    "raises, at import",
    "sys.exit, in on_load",
    "os._exit, in on_load, on the loop",
    "SIGSEGV, in its self-test",
    "hangs, in on_load",
    "endless loop, in import_state",
    "fork bomb, at import",
    "allocates 10 GB, in on_reload",
    "floods stdout, in on_load",
    "closes every descriptor, in on_load, on the loop",
    "connects and hides it without having asked, in on_load, on the loop",
    "os._exit, in on_resources",
    "a manifest with a class that is not there, on disk",
    "a manifest with a key of endless parts, on disk",
)
LITTLE = {
    "CHANGEOVER_DEADLINES_HOOK": "1",
    "CHANGEOVER_DEADLINES_PREFLIGHT": "5",
    "CHANGEOVER_PREFLIGHT_MEMORY": str(256 << 20),
}
"""What hangs costs as long as it may hang."""


def test_the_corpus_is_what_the_benchmark_says() -> None:
    offers = corpus()
    assert len(offers) == COUNT == 200
    assert offers == corpus()
    assert sum(not offer.runs for offer in offers) >= 40
    assert len({(offer.plugin, tuple(sorted(offer.files.items()))) for offer in offers}) == COUNT


async def offered(story: Story, server: Server, offer: Offer) -> Refused:
    put(story.plugins, offer.plugin, offer.files)
    outcome = await server.reload()
    take_back(story.plugins, offer)
    assert isinstance(outcome, Refused), outcome
    return outcome


class Visitor:
    """Asks all the time, over one connection after the other."""

    def __init__(self, story: Story, server: Server) -> None:
        self.answers = 0
        self.wrong: list[str] = []
        self._task = asyncio.create_task(self._ask(story, server))

    async def _ask(self, story: Story, server: Server) -> None:
        while True:
            answer = await story.get(server, "/victim")
            if (answer.status, answer.body) == (200, "still here"):
                self.answers += 1
            else:
                self.wrong.append(str(answer))
            await asyncio.sleep(0.01)

    async def leave(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


async def test_each_is_refused_with_a_reason_while_requests_are_answered_and_no_worker_ends(story: Story) -> None:
    put(story.plugins, VICTIM, SERVING)
    async with story.server(2, env=LITTLE) as server:
        pids = {slot.slot: slot.pid for slot in (await server.status()).slots}
        visitor = Visitor(story, server)
        for name in FEW:
            outcome = await offered(story, server, CORPUS[name])
            told = [each.refusal for each in outcome.refusals]
            assert told, name
            assert all(refusal.summary for refusal in told), name
            assert all(each.slot == -1 for each in outcome.refusals), f"{name}: a worker was asked"
        await visitor.leave()
        assert visitor.wrong == []
        assert visitor.answers > len(FEW)
        status = await server.status()
        assert {slot.slot: slot.pid for slot in status.slots} == pids
        assert status.epoch == 1
        story.write("1.0")
        assert isinstance(await server.reload(), Committed)


async def test_what_a_signal_offers_is_refused_as_well_and_explained(story: Story) -> None:
    put(story.plugins, VICTIM, SERVING)
    async with story.server(1, env=LITTLE) as server:
        offer = CORPUS["os._exit, at import"]
        put(story.plugins, offer.plugin, offer.files)
        kill(server.pid, signal.SIGHUP)
        status = await status_when(server, lambda status: status.refused is not None)
        assert status.refused is not None
        assert status.epoch == 1
        await until(lambda: "hostile" in server.logs.partition("refused")[2], "the refusal in its log")


@pytest.mark.parametrize("granted", [False, True])
async def test_what_was_granted_is_no_reason_to_refuse(story: Story, tmp_path: Path, granted: bool) -> None:
    put(story.plugins, VICTIM, SERVING)
    config = tmp_path / "changeover.toml"
    config.write_text('[plugins.forker]\ngrant = ["exec"]\n' if granted else "")
    code = "import subprocess\nsubprocess.run(['true'], check=True)\n"
    async with story.server(1, f"--config={config}") as server:
        put(
            story.plugins,
            "forker",
            {
                "plugin.toml": b'id = "forker"\nversion = "1"\ncapabilities = ["exec"]\nself_test = "forker:run"\n',
                "forker.py": f"{code}def run(): pass\n".encode(),
            },
        )
        outcome = await server.reload()
        if granted:
            assert isinstance(outcome, Committed), outcome
        else:
            assert isinstance(outcome, Refused)
            [told] = outcome.refusals
            assert 'asks for exec, which is not granted; write `grant = ["exec"]` in [plugins.forker]' in (
                told.refusal.summary
            )
