"""`changeover plugin list`."""

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import click

from changeover.supervisor.artifacts.survey import DiskState, DiskView
from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.cli.overview import clock, table
from changeover.supervisor.cli.showing import as_json_option, show, unanswered
from changeover.supervisor.control import PluginState
from changeover.supervisor.plugins import ListedPlugin, PluginCopy, PluginsView

HELP = """Show every plugin: what serves, what lies on disk, and how far each worker has come with it.

Exit status: 0 found; 5 no server.
"""

HEADINGS = ("plugin", "version", "digest", "since", "on disk", "in workers", "loaded", "policy", "next check", "path")
DIGITS = 6
"""Digits of a digest that people need."""
ALONE = (DiskState.SAME, DiskState.GONE, DiskState.BROKEN)
"""What lies on disk, where no version has to be told beside it."""


@click.command("list", help=HELP, short_help="Show every plugin: served, on disk, and in each worker.")
@server_options
@as_json_option
def command(name: str, runtime_dir: str, as_json: bool) -> None:
    """See HELP."""
    with failures():
        laid_out = partial(lines, now=time.time())
        show(server(name, runtime_dir), "/v1/plugins", PluginsView, laid_out, as_json=as_json)


def lines(view: PluginsView, now: float) -> Iterator[str]:
    """Lay the plugins out.

    Args:
        view: What the server says.
        now: Wall clock, seconds since 1970.
    """
    if view.plugins:
        yield from table((HEADINGS, *(_row(plugin, now) for plugin in view.plugins)))
    else:
        yield f"no plugins; epoch {view.epoch} is committed"
    for plugin in view.plugins:
        yield from _alarms(plugin)
    if view.unread:
        yield f"! what lies on disk is not known: {view.unread}"
    yield from unanswered(view.silent)


def _row(plugin: ListedPlugin, now: float) -> tuple[str, ...]:
    loaded = max((copy.loaded_at for copy in plugin.copies if copy.since == plugin.since), default=0.0)
    return (
        plugin.id,
        plugin.version or "-",
        plugin.digest[:DIGITS] or "-",
        str(plugin.since) if plugin.since else "-",
        "?" if plugin.disk is None else _on_disk(plugin.disk),
        _in_workers(plugin),
        clock(loaded, now) if loaded else "-",
        plugin.policy or "?",
        "-" if plugin.next_check is None else clock(plugin.next_check, now),
        plugin.disk.path if plugin.disk is not None and plugin.disk.path else "-",
    )


def _on_disk(disk: DiskView) -> str:
    word = disk.state.value
    return word if disk.state in ALONE else f"{disk.version} {disk.digest[:DIGITS]} ({word})"


def _in_workers(plugin: ListedPlugin) -> str:
    """How many instances are in each state, and whose exclusive work runs.

    Those of an older epoch, and those of workers that leave, are told apart.
    """
    counted = Counter(_state(copy, plugin) for copy in plugin.copies)
    leaders = dict.fromkeys(str(copy.slot) for copy in plugin.copies if copy.leads)
    leads = f" (slot {', '.join(leaders)} leads)" if leaders else ""
    return ", ".join(f"{number} {state}" for state, number in counted.items()) + leads or "-"


def _state(copy: PluginCopy, plugin: ListedPlugin) -> str:
    since = "" if copy.since == plugin.since else f" since {copy.since}"
    return f"{copy.state.lower()}{since}" + (f" ({copy.worker.value})" if copy.worker.leaves else "")


def _alarms(plugin: ListedPlugin) -> Iterator[str]:
    if plugin.serving is not None and plugin.serving.state is PluginState.DEGRADED:
        yield f"! {plugin.id} is degraded: {plugin.serving.note}"
    if plugin.disk is not None and plugin.disk.note:
        yield f"! {plugin.disk.note}"
