"""What is committed runs in every worker, whatever becomes of the files: real processes, killed at will."""

import shutil
from pathlib import Path

import psutil
import pytest

from changeover.server import Committed, NeedsRoll, Server, ServerFailed, StatusView, Strategy
from changeover.supervisor.control import SlotState
from tests.service import Answer, Story, kill, logged, status_when

MAIN = """
import os, traceback
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from shop.prices import VERSION
{top}

def version(request):
    return PlainTextResponse(VERSION)

def late(request):
    from shop import late
    return PlainTextResponse(late.VERSION)

def failing(request):
    from shop import failing
    try:
        failing.fail()
    except ValueError:
        return PlainTextResponse(traceback.format_exc())

def added(request):
    try:
        import shop.added
    except ModuleNotFoundError as error:
        return PlainTextResponse(str(error))
    return PlainTextResponse("imported")

app = Starlette(routes=[Route(f"/{{each.__name__}}", each) for each in (version, late, failing, added)])
"""
SHOP = {
    "prices.py": "VERSION = 'committed'\n",
    "late.py": "VERSION = 'committed'\n",
    "failing.py": "def fail():\n    raise ValueError  # committed\n",
}
THREAD = "import threading, time; threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()"


class Shop:
    """An application in a story's folder."""

    def __init__(self, story: Story, top: str = "") -> None:
        self.story = story
        self.folder = story.folder
        (self.folder / "main.py").write_text(MAIN.format(top=top))
        (self.folder / "shop").mkdir()
        for name, text in SHOP.items():
            (self.folder / "shop" / name).write_text(text)

    def edit(self) -> None:
        """Change everything, so that whoever imports it anew says so."""
        (self.folder / "main.py").write_text("raise RuntimeError('edited')\n")
        for name, text in SHOP.items():
            (self.folder / "shop" / name).write_text(text.replace("committed", "edited"))
        (self.folder / "shop" / "added.py").touch()

    async def ask(self, server: Server) -> dict[str, Answer]:
        paths = ("version", "late", "failing", "added")
        return {path: await self.story.get(server, f"/{path}") for path in paths}


def zygote_of(server: Server) -> int:
    [zygote] = [child.pid for child in psutil.Process(server.pid).children()]
    return zygote


def serves_anew(status: StatusView, before: int, cohort: int = 1) -> bool:
    [slot] = status.slots
    return slot.pid not in (0, before) and slot.state is SlotState.SERVING and slot.cohort == cohort


async def killed(server: Server, cohort: int = 1) -> None:
    """Kill the one worker, and wait until its successor serves."""
    [before] = [slot.pid for slot in (await server.status()).slots]
    kill(before)
    await status_when(server, lambda status: serves_anew(status, before, cohort), deadline=30)


def check_committed(answers: dict[str, Answer]) -> None:
    assert [answer.status for answer in answers.values()] == [200] * 4
    assert (answers["version"].body, answers["late"].body) == ("committed", "committed")
    assert "raise ValueError  # committed" in answers["failing"].body
    assert "shop/added.py is not in the content of epoch 1" in answers["added"].body


@pytest.mark.parametrize(
    ("top", "arguments"),
    [("", ()), ("", ("--no-preload",)), (THREAD, ())],
    ids=["preloaded", "imported after the fork", "with threads"],
)
async def test_a_killed_worker_and_a_killed_zygote_come_back_with_the_committed_code(
    story: Story, top: str, arguments: tuple[str, ...]
) -> None:
    shop = Shop(story, top)
    story.write("1.0", id="geo", mount="/geo", top="from shop.prices import VERSION\nassert VERSION == 'committed'")
    async with story.server(1, *arguments, app="main:app") as server:
        assert (await story.get(server, "/version")).body == "committed"
        shop.edit()
        await killed(server)
        check_committed(await shop.ask(server))
        kill(zygote_of(server))
        await logged(server, "zygote of cohort 2")
        await killed(server, cohort=2)
        check_committed(await shop.ask(server))
        shutil.rmtree(story.folder / "shop")
        await killed(server, cohort=2)
        assert (await story.get(server, "/late")).body == "committed"


async def test_a_cold_start_takes_what_lies_on_disk(story: Story) -> None:
    shop = Shop(story)
    async with story.server(1, app="main:app") as server:
        assert (await story.get(server, "/version")).body == "committed"
        (shop.folder / "shop" / "prices.py").write_text("VERSION = 'edited'\n")
        outcome = await server.reload(strategy=Strategy.SWAP)
        assert isinstance(outcome, NeedsRoll)
        assert outcome.changed == ("app: 1 file changed on disk: shop/prices.py (needs a roll)",)
    async with story.server(1, app="main:app") as server:
        assert (await story.get(server, "/version")).body == "edited"
        await logged(server, "app main:app (1 file)")
        (shop.folder / "shop" / "prices.py").write_text("VERSION = 'again'\n")
        await killed(server)
        assert (await story.get(server, "/version")).body == "edited"


async def test_content_that_is_damaged_in_the_store_is_refused_by_name_and_what_serves_stays(story: Story) -> None:
    Shop(story)
    async with story.server(1, app="main:app") as server:
        [artifact] = [path for path in (story.folder / "state" / "artifacts").iterdir() if (path / "main.py").is_file()]
        artifact.chmod(0o755)
        (artifact / "main.py").unlink()
        kill(zygote_of(server))
        reason = f"artifact {artifact.name[:12]} in the store is not the content that its name says"
        await logged(server, reason)
        assert (await story.get(server, "/version")).body == "committed"


async def test_a_start_whose_content_cannot_be_stored_says_so(story: Story) -> None:
    Shop(story)
    (story.folder / "state").mkdir()
    (story.folder / "state" / "artifacts").write_text("a file where a folder should be")
    with pytest.raises(ServerFailed, match=r"state/artifacts: File exists") as failed:
        async with story.server(1, app="main:app"):
            pass
    assert failed.value.status == 1


def installed(story: Story, version: str) -> Path:
    """A distribution of which only its name and its version matter."""
    folder = story.folder.with_name(f"{story.folder.name}-installed")
    folder.mkdir(exist_ok=True)
    for each in folder.iterdir():
        each.rmdir()
    (folder / f"demo_price-{version}.dist-info").mkdir()
    return folder


async def test_a_refill_that_finds_other_distributions_does_not_boot_and_says_which(story: Story) -> None:
    Shop(story)
    story.write("1.0")
    async with story.server(2, app="main:app", env={"PYTHONPATH": str(installed(story, "1.0"))}) as server:
        installed(story, "1.1")
        kill((await server.status()).slots[0].pid)
        status = await status_when(server, lambda s: "demo-price 1.0 -> 1.1" in s.slots[0].note, deadline=30)
        assert "installed distributions changed since the application was taken" in status.slots[0].note
        assert (await story.get(server, "/version")).body == "committed"
        outcome = await server.reload(strategy=Strategy.SWAP)
        assert isinstance(outcome, NeedsRoll)
        assert outcome.changed == ("app: installed: demo-price 1.0 -> 1.1 (needs a roll)",)
        installed(story, "1.0")
        await status_when(server, lambda s: all(slot.state is SlotState.SERVING for slot in s.slots), deadline=60)
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)


async def test_a_zygote_that_finds_other_distributions_imports_nothing(story: Story) -> None:
    Shop(story)
    async with story.server(1, app="main:app", env={"PYTHONPATH": str(installed(story, "1.0"))}) as server:
        installed(story, "1.1")
        kill(zygote_of(server))
        await logged(server, "demo-price 1.0 -> 1.1")
        assert (await story.get(server, "/version")).body == "committed"


@pytest.mark.parametrize("arguments", [(), ("--no-preload",)], ids=["preloaded", "imported after the fork"])
@pytest.mark.parametrize("broken", ["at the scan", "in the workers"])
async def test_a_start_that_is_refused_serves_the_last_application_with_the_last_plugins(
    story: Story, broken: str, arguments: tuple[str, ...]
) -> None:
    shop = Shop(story)
    story.write("1.0")
    async with story.server(1, *arguments, app="main:app") as server:
        assert (await story.get(server, "/version")).body == "committed"
    (shop.folder / "shop" / "prices.py").write_text("VERSION = 'edited'\n")
    story.write("?" if broken == "at the scan" else "2.0", top="raise RuntimeError('broken')")
    async with story.server(1, *arguments, app="main:app") as server:
        await status_when(server, lambda status: all(slot.epoch == 1 for slot in status.slots), deadline=30)
        assert (await story.get(server, "/version")).body == "committed"
        assert (await story.get(server, "/shop")).words[0] == "1.0"
