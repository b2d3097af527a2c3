"""`changeover plugin check`."""

import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec

from changeover.supervisor.artifacts.content import Content, from_disk
from changeover.supervisor.artifacts.dependencies import lacking
from changeover.supervisor.artifacts.folder import Found, read_folder, read_plugin
from changeover.supervisor.artifacts.granting import ungranted
from changeover.supervisor.artifacts.layout import mistakes_of
from changeover.supervisor.artifacts.problems import of_manifest
from changeover.supervisor.artifacts.requirements import unmet
from changeover.supervisor.artifacts.trust import untrusted
from changeover.supervisor.cli.check import show
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.outcomes import refusal_lines
from changeover.supervisor.cli.plugin.rehearsing import rehearse
from changeover.supervisor.cli.plugin.trying import NotTried, load
from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.load import check
from changeover.supervisor.config.rules import NOTHING_TO_SERVE
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.config.sources import Override, Source
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.interpreters.paths import OURS
from changeover.supervisor.reported import shown
from changeover.supervisor.telemetry.amounts import seconds
from changeover.supervisor.telemetry.phrases import rehearsed
from changeover.workers.pinned.distributions import Distributions
from changeover.workers.plugins.artifact import UnreadableArtifact
from changeover.workers.plugins.manifest import MANIFEST
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.preflight.alone import NotRehearsed
from changeover.workers.protocol.document import below
from changeover.workers.protocol.snapshot import Interpreter
from changeover.workers.protocol.trial import Trial

HELP = """Say what is wrong with plugins: PATH is a folder with a plugin.toml, a wheel, a file with an inline block,
or a folder of these.

Reads the manifest, says the digest, checks the signature where --config has plugins.keys, looks for the distributions
that it needs beside changeover, and has the plugin rehearsed with its configuration and services, as a reload does:
imports, on_load, self-test, and everything that a worker refuses, in a confined process of its own. --no-preflight
loads it unconfined: check so what you trust. Plugins that one requires are named too: all of them are checked.

Exit status: 0 nothing is wrong; 1 something is; 2 usage.
"""

MOST_OUTPUT = 20
"""Lines of what a plugin wrote that are shown, the last ones."""
MOST_TRACEBACK = 20
"""Lines of a traceback that are shown, the last ones."""


@click.command("check", help=HELP, short_help="Say what is wrong with plugins, and load them apart.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A changeover.toml whose keys have to have signed each, and whose [plugins.ID] config and grant it gets; "
    "without it any signature or none, no config, and all it asks for.",
)
@click.option("--load/--no-load", "loads", default=True, help="Load it, or only read its manifest.")
@click.option("--preflight/--no-preflight", default=True, help="Confine it while it is loaded, as a reload does.")
def command(paths: tuple[Path, ...], config: Path | None, loads: bool, preflight: bool) -> None:
    """See HELP."""
    settings = None if config is None else _settings(config, paths[0])
    right = True
    found: dict[str, Found] = {}
    for path in dict.fromkeys(each for given in paths for each in _plugins_in(given.absolute())):
        try:
            found |= _read(path, found)
        except _Wrong as wrong:
            right = False
            click.echo("\n".join(f"error: {line}" for line in wrong.lines), err=True)
    contents = {id: _content(it, settings) for id, it in found.items()}
    configs = {id: content.config for id, content in contents.items()}
    problems = list(_missing(contents))
    problems += map(str, () if settings is None else ungranted(found.values(), settings))
    keys = () if settings is None else settings.plugins.keys
    distrusted = list(map(str, untrusted(found.values(), keys)))
    problems += distrusted
    origin = "" if config is None else str(config)
    wanted = settings or Settings()
    problems += [str(each) for content in contents.values() for each in mistakes_of(content, wanted, origin)]
    for problem in problems:
        right = False
        click.echo(f"error: {problem}", err=True)
    for plugin in found.values():
        click.echo(_headline(plugin))
        if keys and not list(untrusted([plugin], keys)):
            click.echo("  signed  by a key of plugins.keys")
        if loads and not problems:
            beside = {id: found[id] for id in (plugin.manifest.id, *_required(plugin, found))}
            if preflight:
                right = _passes(plugin, beside, contents, wanted) and right
            else:
                right = _loads(plugin, beside, configs) and right
    if not loads:
        click.echo("their code was not loaded")
    raise SystemExit(Exit.DONE if right else Exit.REFUSED)


def _content(plugin: Found, settings: Settings | None) -> Content:
    """It as it would be taken; without a configuration it gets none, and what it asks for."""
    if settings is not None:
        return from_disk(plugin, settings)
    granted = tuple(sorted(set(plugin.manifest.capabilities)))
    return msgspec.structs.replace(from_disk(plugin, Settings()), granted=granted)


def _missing(contents: Mapping[str, Content]) -> Iterator[str]:
    """Say which plugins and distributions are not there that something needs."""
    required = {id for content in contents.values() for id in content.manifest.requires}
    unnamed = {below("$.requires", id) for id in required - contents.keys()}
    for problem in unmet(contents):
        yield f"{problem}; name the plugins that it requires, too" if problem.path in unnamed else str(problem)
    versions = Distributions.found(sys.path).versions
    yield from map(str, lacking(contents, contents.keys(), versions, Interpreter(OURS, platform.python_version())))


class _Wrong(Exception):
    def __init__(self, *lines: str) -> None:
        self.lines = lines


def _settings(config: Path, plugins: Path) -> Settings:
    """What a server has that is given the file; and the folder of plugins beside it, where the file names none."""
    source = Source(file=config.absolute())
    checked = check(source)
    if _names_no_plugins(checked):
        given = Override(("plugins", "dir"), str(plugins.absolute()), "PATH")
        checked = check(msgspec.structs.replace(source, flags=(given,)))
    show(checked)
    if checked.settings is None:
        raise SystemExit(Exit.REFUSED)
    return checked.settings


def _names_no_plugins(checked: Checked) -> bool:
    if checked.settings is not None:
        return not checked.settings.plugins.dir
    return any(error.message == NOTHING_TO_SERVE for error in checked.errors)


def _plugins_in(path: Path) -> Iterator[Path]:
    """What lies in a folder of plugins; anything else is to be a plugin itself."""
    inside: list[str] = []
    if path.is_dir() and not (path / MANIFEST).is_file():
        listing = read_folder(path)
        inside = sorted([*(plugin.path for plugin in listing.plugins.values()), *listing.problems])
    yield from map(Path, inside or (path,))


def _read(path: Path, others: Mapping[str, Found]) -> dict[str, Found]:
    try:
        found = read_plugin(path)
    except ManifestInvalid as error:
        raise _Wrong(*map(str, of_manifest(error))) from error
    except UnreadableArtifact as error:
        raise _Wrong(str(error)) from error
    if found is None:
        what = (
            "no plugin.toml and no plugin in it"
            if path.is_dir()
            else "no `# /// script` block with [tool.changeover] in it"
        )
        raise _Wrong(f"{path}: is no plugin: {what}")
    if (there := others.get(found.manifest.id)) is not None:
        raise _Wrong(f"{found.file}: {found.manifest.id} is the id of {there.path} already")
    return {found.manifest.id: found}


def _headline(plugin: Found) -> str:
    manifest, size = plugin.manifest, sum(map(len, plugin.files.values()))
    files = f"{len(plugin.files)} file{'s' if len(plugin.files) != 1 else ''}, {size:,} bytes"
    return f"{manifest.id} {manifest.version}  {plugin.path}\n  digest  {plugin.digest}\n  content {files}"


def _passes(plugin: Found, beside: Mapping[str, Found], contents: Mapping[str, Content], settings: Settings) -> bool:
    """Have it rehearsed and say what came of it; whether it passes."""
    id = plugin.manifest.id
    try:
        report = shown(rehearse(beside, {each: contents[each] for each in beside}, settings))
    except NotRehearsed as error:
        _show_output(error.output)
        click.echo(f"error: {id} could not be rehearsed: the preflight {error.reason}", err=True)
        return False
    if report.refusal is not None:
        click.echo(f"error: {id} does not pass its preflight", err=True)
        for line in refusal_lines(SlotRefusal(-1, 0, report.refusal), MOST_TRACEBACK, MOST_OUTPUT):
            click.echo(line, err=True)
        return False
    _show_output(report.output)
    did = rehearsed(report.modules, report.tests_passed, report.tests)
    click.echo(f"  preflight passed in {seconds(report.took)} ({did})")
    for line in (*report.warnings, *map(_unconfined, report.missing)):
        click.echo(f"warning: {line}", err=True)
    return True


def _unconfined(missing: str) -> str:
    return f"its process was confined less than it could be: {missing}"


def _loads(plugin: Found, beside: Mapping[str, Found], configs: Mapping[str, bytes]) -> bool:
    """Load it and say what came of it; whether it loads."""
    try:
        required = {each.path: configs[each.manifest.id] for each in beside.values() if each is not plugin}
        tried, output = load(Trial(plugin.path, configs[plugin.manifest.id], required))
    except NotTried as error:
        _show_output(error.output)
        click.echo(f"error: {plugin.manifest.id} does not load: {error.reason}", err=True)
        return False
    _show_output(output)
    if tried.reason or tried.refusal is not None:
        click.echo(f"error: {plugin.manifest.id} does not load{': ' + tried.reason if tried.reason else ''}", err=True)
        for line in () if tried.refusal is None else refusal_lines(SlotRefusal(-1, 0, tried.refusal), MOST_TRACEBACK):
            click.echo(line, err=True)
        return False
    click.echo("  loads   yes, here and unconfined: no server was asked, nothing was activated")
    for caveat in tried.caveats:
        click.echo(f"warning: {plugin.manifest.id}: {caveat}", err=True)
    return True


def _required(plugin: Found, others: Mapping[str, Found]) -> Iterator[str]:
    """What it requires, and what that requires; each once."""
    seen, left = {plugin.manifest.id}, list(plugin.manifest.requires)
    while left:
        id = left.pop()
        if id not in seen:
            seen.add(id)
            left += others[id].manifest.requires
            yield id


def _show_output(output: str) -> None:
    for line in output.splitlines()[-MOST_OUTPUT:]:
        click.echo(f"  | {line}")
