"""Going back after a package was installed: the code of then serves, with what is installed now, and says so."""

import textwrap

import pytest

from changeover.server import Committed, Server, ServerFailed, Unchanged
from changeover.supervisor.control import SlotState, StatusView
from changeover.supervisor.core.entries import Trigger
from tests.integration.test_adoption_stories import ORPHAN, alive, all_serve, zygote_of
from tests.integration.test_rescue_stories import SEGFAULT, answered
from tests.integration.test_roll_stories import Shop, alone, serving
from tests.service import Story, kill, logged, status_when
from tests.waits import until

USES_FOO = 'import foo\nVERSION += f"+foo{foo.VERSION}"'
CHANGED = "packages as installed now, and not as epoch 1 had them: foo 1.1 -> 1.2"


def install(story: Story, version: str) -> dict[str, str]:
    """Have a distribution with one module installed, in place of what there is of it.

    Returns:
        What workers find it by.
    """
    folder = story.folder.with_name(f"{story.folder.name}-installed")
    folder.mkdir(exist_ok=True)
    for each in folder.glob("*.dist-info"):
        each.rmdir()
    (folder / f"foo-{version}.dist-info").mkdir()
    (folder / "foo.py").write_text(f'VERSION = "{version}"')
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


async def refilled(server: Server, workers: int) -> None:
    """Kill one of those that serve, and see another take its place."""
    before = serving(await alone(server, workers))
    kill(before[0])
    await status_when(server, lambda s: before[0] not in serving(s) and len(serving(s)) == workers, deadline=30)


@pytest.mark.parametrize(
    ("arguments", "version"), [((), "1.1"), (("--no-preload",), "1.2")], ids=["preloaded", "imported after the fork"]
)
async def test_a_roll_that_crashes_is_taken_back_also_when_it_took_another_package(
    story: Story, arguments: tuple[str, ...], version: str
) -> None:
    shop = Shop(story)
    shop.write("1", top=USES_FOO)
    async with story.server(2, *arguments, app="main:app", env=install(story, "1.1")) as server:
        install(story, "1.2")
        shop.write("2", top=SEGFAULT)
        assert isinstance(await server.reload(), Committed)
        assert (await answered(story, server)).words[0] == f"1+foo{version}"
        await alone(server, 2)
        status = await status_when(server, lambda status: status.serving is not None and status.serving.epoch == 3)
        assert {slot.cohort for slot in status.slots} == {1}
        assert status.serving is not None
        assert (status.serving.origin.trigger, status.serving.restores) == (Trigger.RESCUE, 1)
        await logged(server, CHANGED)
        await logged(
            server, "what the kept process has imported stays as it was; what is imported later is what is there now"
        )
        await refilled(server, 2)
        assert (await story.get(server, "/")).words[0] == f"1+foo{version}"


async def test_a_package_alone_that_has_every_worker_crash_is_taken_back(story: Story) -> None:
    shop = Shop(story)
    crashes = f'{USES_FOO}\nif foo.VERSION == "1.2":\n' + textwrap.indent(SEGFAULT, "    ")
    shop.write("1", top=crashes)
    async with story.server(2, app="main:app", env=install(story, "1.1")) as server:
        install(story, "1.2")
        assert isinstance(await server.reload(), Committed)
        assert (await answered(story, server)).words[0] == "1+foo1.1"
        assert {slot.cohort for slot in (await alone(server, 2)).slots} == {1}


def mixes(status: StatusView) -> bool:
    return any("zygote 1 imported the application with other packages" in alarm for alarm in status.alarms)


async def test_a_mixture_is_an_alarm_under_a_later_supervisor_too_until_what_was_there_serves(
    story: Story,
) -> None:
    shop = Shop(story)
    shop.write("1", top=USES_FOO)
    installed = {**install(story, "1.1"), **ORPHAN}
    with pytest.raises(ServerFailed):
        async with story.server(2, app="main:app", env=installed) as first:
            install(story, "1.2")
            shop.write("2", top=SEGFAULT)
            assert isinstance(await first.reload(), Committed)
            assert (await answered(story, first)).words[0] == "1+foo1.1"
            await alone(first, 2)
            assert mixes(await first.status())
            kill(first.pid)
            await until(lambda: not alive(first.pid), "the supervisor to be dead")
    async with story.server(2, app="main:app", env=installed) as second:
        await all_serve(second)
        assert mixes(await second.status())
        install(story, "1.1")
        assert isinstance(await second.rollback(to=1), Committed)
        await alone(second, 2)
        assert (await second.status()).alarms == ()
        assert (await story.get(second, "/")).words[0] == "1+foo1.1"


async def test_a_zygote_that_is_lost_after_such_a_rescue_is_followed_by_one_that_imports_what_is_there(
    story: Story,
) -> None:
    shop = Shop(story)
    shop.write("1", top=USES_FOO)
    async with story.server(1, app="main:app", env=install(story, "1.1")) as server:
        install(story, "1.2")
        shop.write("2", top=SEGFAULT)
        assert isinstance(await server.reload(), Committed)
        assert (await answered(story, server)).words[0] == "1+foo1.1"
        kill(zygote_of(*serving(await alone(server, 1))))
        await logged(server, "the zygote of cohort 3 is ready")
        await refilled(server, 1)
        assert (await story.get(server, "/")).words[0] == "1+foo1.2"


async def test_a_rollback_serves_the_code_of_then_with_the_packages_of_now_and_says_which_they_are(
    story: Story,
) -> None:
    shop = Shop(story)
    shop.write("1", top=USES_FOO)
    async with story.server(2, app="main:app", env=install(story, "1.1")) as server:
        install(story, "1.2")
        await shop.roll(server, "2")
        back = await server.rollback()
        assert isinstance(back, Committed), back
        assert CHANGED in back.summary
        assert (await story.get(server, "/")).words[0] == "1+foo1.2"
        await refilled(server, 2)
        assert (await story.get(server, "/")).words[0] == "1+foo1.2"
        assert isinstance(await server.rollback(), Unchanged)
        install(story, "1.3")
        kill(serving(await alone(server, 2))[0])
        differs = "foo 1.2 -> 1.3"
        status = await status_when(server, lambda s: any(differs in slot.note for slot in s.slots), deadline=30)
        assert [slot.state for slot in status.slots].count(SlotState.SERVING) == 1
