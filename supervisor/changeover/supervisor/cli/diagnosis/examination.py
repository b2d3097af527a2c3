"""The whole examination: a folder, the application alone, a server, and what is measured with it."""

import asyncio
import time
from pathlib import Path

from changeover.supervisor.api.started import Server
from changeover.supervisor.cli.diagnosis.alone import examine
from changeover.supervisor.cli.diagnosis.display import Display
from changeover.supervisor.cli.diagnosis.measurements import Measured, Plan
from changeover.supervisor.cli.diagnosis.patient import confined, to_examine
from changeover.supervisor.cli.diagnosis.probe import install
from changeover.supervisor.cli.diagnosis.visit import Visit
from changeover.supervisor.cli.printed_settings import toml
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.interpreters.asking import Interpreters
from changeover.supervisor.interpreters.paths import executable
from changeover.supervisor.telemetry.amounts import seconds
from changeover.supervisor.telemetry.amounts import workers as counted
from changeover.workers.protocol.examination import Examination


async def examination(settings: Settings, plan: Plan, folder: Path, display: Display) -> Measured:
    """Do what is planned with the application of the settings.

    Args:
        settings: The user's own.
        plan: What to do.
        folder: An empty folder to work in.
        display: Shows how far it is.

    Raises:
        ServerFailed: The server did not start.
        NothingToExamine: What was to be asked for is not answered.
        SupervisorError: The server did not stay what it was.
    """
    plugins = folder / "plugins"
    await asyncio.to_thread(_gather, settings, plugins)
    config = folder / "changeover.toml"
    await asyncio.to_thread(config.write_text, "\n".join(toml(confined(settings, plugins))), "utf-8")
    alone = await asyncio.to_thread(_alone, settings, folder, display)
    display.begin("boot", 1)
    began = time.monotonic()
    async with Server(config=config, workers=plan.workers, name="doctor") as server:
        boot = time.monotonic() - began
        display.end(f"{counted(plan.workers)} serve at {server.addresses[0]} after {seconds(boot)}")
        return await Visit(server, plan, plugins, display).measure(boot, alone)


def _gather(settings: Settings, plugins: Path) -> None:
    """Put the probe beside links to the user's plugins."""
    plugins.mkdir()
    install(0, plugins)
    if settings.plugins.dir:
        for path in Path(settings.plugins.dir).iterdir():
            if not path.name.startswith("."):
                (plugins / path.name).symlink_to(path.absolute())


def _alone(settings: Settings, folder: Path, display: Display) -> Examination | None:
    wanted = to_examine(settings)
    if wanted is None:
        return None
    python, deadlines = executable(settings.python), settings.deadlines
    Interpreters().ask(python)
    display.begin("import", 1)
    alone = examine(wanted, folder, deadlines.boot + 2 * deadlines.hook, python)
    display.end(alone.failure or f"{seconds(alone.imported)} for {len(alone.modules)} modules")
    return alone
