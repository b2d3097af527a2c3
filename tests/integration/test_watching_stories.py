"""Files are saved, and nobody asks: what is taken, what is refused, and what is not tried again."""

import os
from pathlib import Path

import pytest

from changeover.server import Committed, Refused, Server, ServerFailed, StatusView
from changeover.supervisor.api.client import SOCKET_NAME, Client
from changeover.supervisor.control import Explanation
from tests.integration.test_roll_stories import Shop
from tests.plugin_folder import PluginFolder
from tests.service import Story, logged, status_when
from tests.waits import until

WATCHED = {"CHANGEOVER_PLUGINS_RELOAD": "on-change"}
BROKEN = 'raise RuntimeError("a broken save")'


def client(story: Story) -> Client:
    return Client(story.folder / "runtime" / SOCKET_NAME)


def without(there: Path) -> str:
    """Code that times out as long as a file is not there."""
    return f'if not Path("{there}").exists():\n    raise TimeoutError("no answer from the database")'


async def refused(server: Server, epoch: int) -> StatusView:
    """Wait until an epoch is refused."""
    return await status_when(server, lambda status: status.refused is not None and status.refused.epoch == epoch)


async def test_what_is_saved_is_taken_and_a_broken_save_leaves_the_old_code_serving(story: Story) -> None:
    story.write("1.0")
    async with story.server(1, "--reload") as server:
        story.write("2.0")
        await status_when(server, lambda status: status.epoch == 2)
        assert (await story.get(server, "/shop")).words[0] == "2.0"
        story.write("3.0", top="import json\njson.loads('{')")
        await refused(server, 3)
        assert (await story.get(server, "/shop")).words[0] == "2.0"
        await until(lambda: "JSONDecodeError" in server.logs.partition("epoch 3 refused")[2], "the refusal in its log")
        told = server.logs.partition("epoch 3 refused")[2]
        assert 'File "shop.py", line' in told
        assert "json/decoder.py" not in told
        story.write("3.0")
        await status_when(server, lambda status: status.epoch == 4)
        assert (await story.get(server, "/shop")).words[0] == "3.0"
        await logged(server, '"plugins/shop.py" by watch')


async def test_refused_content_is_tried_by_nobody_but_who_asks_also_after_a_restart(story: Story) -> None:
    story.write("1.0")
    async with story.server(1, env=WATCHED) as server:
        story.write("2.0", top=BROKEN)
        status = await refused(server, 2)
        assert [(each.content, each.epoch) for each in status.quarantine] == [("shop 2.0", 2)]
        os.utime(story.plugins / "shop.py")
        await logged(server, "not taken: shop 2.0 (refused as epoch 2")
        explanation = client(story).get("/v1/epochs/2", Explanation)
        assert explanation.again.startswith("watching and schedule do not try it again")
    async with story.server(1, "--boot=last", env=WATCHED) as server:
        status = await server.status()
        assert [(each.content, each.epoch) for each in status.quarantine] == [("shop 2.0", 2)]
        assert status.quarantine[0].refused > 0
        os.utime(story.plugins / "shop.py")
        await logged(server, "not taken: shop 2.0 (refused as epoch 2")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert outcome.epoch == 3
        assert (await story.get(server, "/shop")).words[0] == "1.0"


OWN = """
import os
from changeover.plugin import Plugin

class Own(Plugin[None]):
    def on_load(self, ctx):
        {0}
"""


@pytest.mark.parametrize("exempts", [False, True])
async def test_content_that_was_refused_for_what_it_requires_is_taken_when_that_is_mended_or_exempt_and_not_before(
    story: Story, exempts: bool
) -> None:
    late, file, folder = story.folder / "late", story.folder / "changeover.toml", PluginFolder(story.plugins)
    file.touch()
    requiring = 'plugin = "tax:Own"\nrequires = { log = ">=1" }'
    fails = OWN.format(f"if os.path.exists({str(late)!r}): raise PermissionError('its log')")
    folder.single("log", "1.0", 'plugin = "log:Own"', fails)
    folder.single("tax", "1.0", requiring, OWN.format("pass"))
    async with story.server(1, f"--config={file}", env=WATCHED) as server:
        late.touch()
        folder.single("tax", "2.0", requiring, OWN.format("self.rate = 2"))
        status = await refused(server, 2)
        assert [(each.content, each.requires) for each in status.quarantine] == [("tax 2.0", "log 1.0")]
        os.utime(story.plugins / "tax.py")
        await logged(server, "not taken: tax 2.0 (refused as epoch 2 for log 1.0")
        assert "epoch 3" not in server.logs
        if exempts:
            file.write_text("[plugins.log]\npreflight = false\n")
        else:
            folder.single("log", "2.0", 'plugin = "log:Own"', OWN.format("pass"))
        status = await status_when(server, lambda status: status.epoch == 3)
        versions = {each.id: each.version for each in status.plugins}
        assert versions == {"log": "1.0" if exempts else "2.0", "tax": "2.0"}
        assert status.quarantine == ()


@pytest.mark.parametrize("place", ["top", "startup"])
async def test_application_code_that_fails_for_a_passing_reason_is_rolled_to_again_until_it_comes_up(
    story: Story, place: str
) -> None:
    shop, there = Shop(story), story.folder / "up"
    down = f'\n\nasync def down():\n    if not Path("{there}").exists():\n        raise TimeoutError("no answer")\n'
    async with story.server(1, app="main:app", env={"CHANGEOVER_APP_RELOAD": "on-change"}) as server:
        if place == "top":
            shop.write("2", top=without(there))
        else:
            shop.write("2", top=down, startup="await down()")
        await status_when(server, lambda status: status.refused is not None and status.refused.epoch >= 3, 30)
        status = await server.status()
        assert (status.epoch, status.quarantine) == (1, ())
        there.touch()
        await status_when(server, lambda status: status.epoch > 1, 30)
        assert (await story.get(server, "/")).words[0] == "2"


async def test_application_code_that_crashes_is_not_rolled_to_again_until_it_changes(story: Story) -> None:
    shop = Shop(story)
    async with story.server(1, app="main:app", env={"CHANGEOVER_APP_RELOAD": "on-change"}) as server:
        shop.write("2", top="os._exit(3)")
        status = await refused(server, 2)
        assert [each.epoch for each in status.quarantine] == [2]
        os.utime(story.folder / "main.py")
        await logged(server, "not taken: what changed (refused as epoch 2")
        shop.write("3")
        await status_when(server, lambda status: status.epoch == 3, 30)


async def test_content_that_ends_the_process_is_not_tried_again_when_something_else_is_saved(story: Story) -> None:
    story.write("1.0")
    story.write("1.0", id="geo", mount="/geo")
    async with story.server(1, env=WATCHED) as server:
        story.write("2.0", top="import os\nos._exit(3)")
        await refused(server, 2)
        await status_when(server, lambda status: all(slot.epoch == 1 for slot in status.slots))
        [slot] = (await server.status()).slots
        story.write("2.0", id="geo", mount="/geo")
        await status_when(server, lambda status: status.epoch == 3)
        assert (await story.get(server, "/geo")).words[0] == "2.0"
        assert (await story.get(server, "/shop")).words[0] == "1.0"
        assert (await server.status()).slots[0].pid == slot.pid


@pytest.mark.parametrize("beside", ["application", "plugin"])
async def test_what_was_saved_together_with_a_broken_plugin_is_taken_without_another_save(
    story: Story, beside: str
) -> None:
    shop = Shop(story)
    story.write("1.0", id="tax", mount="/tax")
    story.write("1.0", id="geo", mount="/geo")
    async with story.server(1, "--reload", app="main:app") as server:
        story.write("2.0", id="tax", mount="/tax", top=BROKEN)
        if beside == "application":
            shop.write("2")
        else:
            story.write("2.0", id="geo", mount="/geo")
        status = await status_when(server, lambda status: status.epoch == 3, 30)
        await logged(server, "epoch 2 refused: preflight: plugin tax: RuntimeError: a broken save")
        assert [(each.content, each.epoch) for each in status.quarantine] == [("tax 2.0", 2)]
        assert (await story.get(server, "/")).words[0] == ("2" if beside == "application" else "1")
        assert (await story.get(server, "/geo")).words[0] == ("1.0" if beside == "application" else "2.0")
        assert (await story.get(server, "/tax")).words[0] == "1.0"
        file = "main.py" if beside == "application" else "plugins/geo.py"
        await logged(server, f'epoch 1 -> 3 "{file}" by watch')
        story.write("3.0", id="tax", mount="/tax")
        status = await status_when(server, lambda status: status.epoch == 4)
        assert (await story.get(server, "/tax")).words[0] == "3.0"
        assert status.quarantine == ()


async def test_a_broken_plugin_that_is_saved_alone_is_refused_once_and_nothing_else_is_asked_for(story: Story) -> None:
    story.write("1.0")
    async with story.server(1, env=WATCHED) as server:
        story.write("2.0", mount="/elsewhere", top=BROKEN)
        await refused(server, 2)
        story.write("3.0", mount="/elsewhere")
        await status_when(server, lambda status: status.epoch == 3)
        assert "not taken: shop 2.0" not in server.logs


async def test_a_reason_that_passes_is_tried_again_without_another_save(story: Story) -> None:
    story.write("1.0")
    there = story.folder / "the database is there"
    async with story.server(1, env=WATCHED) as server:
        story.write(
            "2.0", top=f'if not Path("{there}").exists():\n    raise TimeoutError("no answer from the database")'
        )
        status = await refused(server, 2)
        assert status.quarantine == ()
        there.touch()
        await status_when(server, lambda status: status.epoch > 2)
        assert (await story.get(server, "/shop")).words[0] == "2.0"


async def test_what_a_command_could_not_have_for_a_reason_that_passes_is_tried_again_too(story: Story) -> None:
    story.write("1.0")
    there = story.folder / "the database is there"
    async with story.server(1, env={"CHANGEOVER_PLUGINS_RELOAD": "every 1h"}) as server:
        story.write("2.0", top=without(there))
        assert isinstance(await server.reload(), Refused)
        there.touch()
        await status_when(server, lambda status: status.epoch > 2)
        await logged(server, "by schedule")


async def test_a_plugin_on_a_schedule_is_taken_when_it_is_due_and_the_others_are_not(story: Story) -> None:
    story.write("1.0")
    story.write("1.0", id="geo", mount="/geo")
    config = story.folder / "changeover.toml"
    config.write_text('[plugins.geo]\nreload = "every 1s"\n')
    async with story.server(1, f"--config={config}") as server:
        story.write("2.0")
        story.write("2.0", id="geo", mount="/geo")
        await status_when(server, lambda status: status.epoch == 2)
        await logged(server, '"plugins/geo.py" by schedule')
        assert (await story.get(server, "/geo")).words[0] == "2.0"
        assert (await story.get(server, "/shop")).words[0] == "1.0"
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/shop")).words[0] == "2.0"


async def test_a_configuration_that_is_saved_is_taken_and_changes_what_is_watched(story: Story) -> None:
    story.write("1.0")
    config = story.folder / "changeover.toml"
    config.write_text('[plugins]\nreload = "on-change"\n')
    async with story.server(1, f"--config={config}") as server:
        config.write_text('[plugins]\nreload = "on-change"\n[plugins.shop]\nmount = "/elsewhere"\n')
        await status_when(server, lambda status: status.epoch == 2)
        assert (await story.get(server, "/elsewhere")).words[0] == "1.0"
        config.write_text('[plugins]\n[plugins.shop]\nmount = "/elsewhere"\n')
        await logged(server, "taken only when somebody asks")
        assert (await server.status()).automatic == ()


async def test_application_code_that_is_saved_is_rolled(story: Story) -> None:
    story.write("1.0")
    app = story.folder / "main.py"
    app.write_text("async def app(scope, receive, send):\n    pass\n")
    async with story.server(1, "--reload", app="main:app") as server:
        app.write_text("async def app(scope, receive, send):\n    return\n")
        await status_when(server, lambda status: status.epoch == 2)
        await logged(server, "roll to 1 worker")
        story.write("2.0")
        await status_when(server, lambda status: status.epoch == 3)
        assert (await story.get(server, "/shop")).words[0] == "2.0"


async def test_a_broken_save_of_the_application_is_told_in_a_few_lines_and_the_old_code_goes_on_serving(
    story: Story,
) -> None:
    shop = Shop(story)
    async with story.server(1, "--reload", app="main:app") as server:
        shop.write("2", top="import json\njson.loads('{')")
        await refused(server, 2)
        assert (await story.get(server, "/")).words[0] == "1"
        await until(lambda: "JSONDecodeError" in server.logs.partition("epoch 2 refused")[2], "the refusal in its log")
        told = server.logs.partition("epoch 2 refused")[2]
        assert "main.py" in told
        assert "json/decoder.py" not in told
        assert "importlib" not in told
        assert server.logs.count("Traceback (most recent call last)") == 1
        shop.write("3")
        await status_when(server, lambda status: status.epoch == 3)
        assert (await story.get(server, "/")).words[0] == "3"


async def test_a_broken_application_is_told_with_one_traceback_by_a_start_that_falls_back_and_by_one_that_cannot(
    story: Story,
) -> None:
    shop = Shop(story)
    async with story.server(1, "--reload", app="main:app"):
        pass
    shop.write("2", top="raise RuntimeError('a broken start')")
    async with story.server(1, "--reload", app="main:app") as server:
        assert (await story.get(server, "/")).words[0] == "1"
        await logged(server, "what is on disk is not served")
        await logged(server, "Traceback (most recent call last)")
        assert server.logs.count("Traceback (most recent call last)") == 1
    story.forget()
    with pytest.raises(ServerFailed) as failed:
        async with story.server(1, "--reload", app="main:app"):
            pass
    assert str(failed.value).count("Traceback (most recent call last)") == 1


async def test_a_checkout_of_hundreds_of_files_ends_on_what_it_checked_out(story: Story) -> None:
    story.write("1.0")
    rules = story.plugins / "rules"
    rules.mkdir()
    manifest = 'id = "rules"\nversion = "{}"\n[services]\nrules = "/rules"\n'
    module = (
        "from pathlib import Path\nfrom changeover.plugin import Response, service\n"
        "TEXTS = {{each.read_text() for each in (Path(__file__).parent / 'data').iterdir()}}\n"
        "@service\nasync def rules(request, call):\n    return Response.text(f'{{sorted(TEXTS)}}')\n# {}\n"
    )

    def check_out(version: str) -> None:
        for number in range(500):
            file = rules / "data" / f"{number}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_text(version)
        (rules / "plugin.toml").write_text(manifest.format(version))
        (rules / "rules.py").write_text(module.format(version))

    check_out("1")
    async with story.server(1, env=WATCHED) as server:
        check_out("2")
        status = await status_when(server, lambda status: "2" in [each.version for each in status.plugins])
        assert (await story.get(server, "/rules")).body == "['2']"
        assert status.counts.reloads < 10


async def test_a_volume_of_kubernetes_is_taken_when_its_link_is_swapped(story: Story) -> None:
    def mount(number: int) -> None:
        story.write(f"{number}.0")
        (story.plugins / f"..{number}").mkdir()
        os.replace(story.plugins / "shop.py", story.plugins / f"..{number}" / "shop.py")

    def swap(number: int) -> None:
        os.symlink(f"..{number}", story.plugins / "..data_tmp")
        os.replace(story.plugins / "..data_tmp", story.plugins / "..data")

    for number in (1, 2, 3):
        mount(number)
    os.symlink("..data/shop.py", story.plugins / "shop.py")
    swap(1)
    async with story.server(1, env=WATCHED) as server:
        for epoch in (2, 3):
            swap(epoch)
            await status_when(server, lambda status: status.epoch == epoch)  # noqa: B023
            assert (await story.get(server, "/shop")).words[0] == f"{epoch}.0"
