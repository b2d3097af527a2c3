"""Where that lies which is served: what is looked at for changes. Pure."""

import os.path
from collections.abc import Iterable
from pathlib import Path

import msgspec

from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.telemetry.amounts import named
from changeover.workers.protocol.reload import ON_CHANGE, Reload, read_reload


class Places(msgspec.Struct, frozen=True):
    """Everything that is looked at.

    Attributes:
        plugins: The folder of plugins; empty for none.
        config: The configuration's file; empty for none.
        app: The application's folder; empty when nobody takes changes of it by themselves.
        include: Globs of the application's files.
        apart: Folders that are no part of the application, wherever they lie.
        tls: Files with certificates, keys and authorities.
    """

    plugins: str = ""
    config: str = ""
    app: str = ""
    include: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    tls: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """What is looked at wherever it lies, beside the folders."""
        return (self.config, *self.tls) if self.config else self.tls

    def shown(self, path: str) -> str:
        """A file's name for people: from the folder that its place lies in, and what is no text escaped."""
        return self._relative(path).encode("utf-8", "backslashreplace").decode()

    def _relative(self, path: str) -> str:
        if self.plugins and path.startswith(f"{self.plugins}/"):
            return os.path.relpath(path, os.path.dirname(self.plugins))
        if self.app and path.startswith(f"{self.app}/"):
            return os.path.relpath(path, self.app)
        return os.path.basename(path)

    def named(self, paths: Iterable[str]) -> str:
        """Some files in words: `plugins/prices.py, shop.py and 498 more`."""
        return named(map(self.shown, paths))


class Plan(msgspec.Struct, frozen=True):
    """What is done without being asked for.

    Attributes:
        places: What is looked at.
        policies: What decides when something is taken: on change, and every so many seconds.
        rescan: Seconds between two looks at everything, beside what is told of changes.
    """

    places: Places = Places()
    policies: frozenset[Reload] = frozenset()
    rescan: float = 60.0

    @property
    def watches(self) -> bool:
        """Whether somebody has to tell of changes."""
        return ON_CHANGE in self.policies


def plan(checked: Checked, apart: Iterable[Path]) -> Plan | None:
    """What the settings want done.

    Args:
        checked: The settings as they are now.
        apart: Folders of our own: state and runtime.

    Returns:
        None when they are wrong.
    """
    settings = checked.settings
    if settings is None:
        return None
    policies = frozenset(policy for policy in settings.policies() if policy.automatic)
    if not policies:
        return Plan()
    return Plan(_places(settings, checked.file, apart), policies, settings.watch.rescan)


def _places(settings: Settings, config: str, apart: Iterable[Path]) -> Places:
    plugins = settings.plugins.dir
    folders = tuple(sorted({*map(str, apart), *([plugins] if plugins else [])}))
    file = os.path.abspath(config) if config else ""
    tls = _tls_files(settings) if read_reload(settings.plugins.reload).automatic else ()
    if settings.app is None or not read_reload(settings.app.reload).automatic:
        return Places(plugins, file, apart=folders, tls=tls)
    return Places(plugins, file, settings.app.dir, settings.app.include, folders, tls)


def _tls_files(settings: Settings) -> tuple[str, ...]:
    spoken = (settings.tls, *(channel.tls for channel in settings.channels if channel.tls is not None))
    return tuple(sorted({file for tls in spoken for file in tls.files}))
