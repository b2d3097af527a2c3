"""The server that is examined: the user's own settings, with what must not reach outside taken out of them. Pure."""

from pathlib import Path

import msgspec

from changeover.supervisor.config.settings import Plugin, Plugins, Recycle, Settings
from changeover.workers.protocol.examination import Examine
from changeover.workers.protocol.forking import Preload
from changeover.workers.protocol.snapshot import Interface

ANYWHERE = "127.0.0.1:0"
"""A free port of this machine."""
ON_SIGNAL = "on-signal"
DISABLED = "disabled"


def confined(settings: Settings, plugins: Path) -> Settings:
    """The same application and plugins: changed only by us, recycled by nobody, as ourselves, without outside commands.

    Folders for sockets and state are not in it: whoever starts the server says them.

    Args:
        settings: The user's own.
        plugins: The folder that the probe is put into, beside the user's plugins.
    """
    replace = msgspec.structs.replace
    return replace(
        settings,
        name="doctor",
        bind=(ANYWHERE,),
        runtime_dir="",
        state_dir="",
        user="",
        group="",
        boot="disk",
        app=settings.app and replace(settings.app, reload=ON_SIGNAL),
        plugins=Plugins(str(plugins), ON_SIGNAL, _entries(settings.plugins)),
        recycle=Recycle(leaks=0),
        hooks=replace(settings.hooks, before_boot="", cutover_committed=""),
    )


def to_examine(settings: Settings) -> Examine | None:
    """What the process that imports the application alone has to do; None without one."""
    app = settings.app
    if app is None:
        return None
    alone = Preload(app.target, app.dir, app.factory, interface=Interface(app.interface))
    return Examine(alone, app.root_path, settings.deadlines.hook)


def _entries(plugins: Plugins) -> dict[str, Plugin]:
    return {
        name: entry if entry.reload == DISABLED else msgspec.structs.replace(entry, reload="")
        for name, entry in plugins.entries.items()
    }
