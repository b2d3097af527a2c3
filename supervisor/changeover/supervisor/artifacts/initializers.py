"""Whether what the channels of a candidate select is there. Pure."""

from collections.abc import Container, Iterator, Set

import msgspec

from changeover.supervisor.artifacts.channels import Channels
from changeover.supervisor.artifacts.layout import Contents
from changeover.supervisor.artifacts.problems import Problem
from changeover.supervisor.config.channels import Channel
from changeover.supervisor.config.settings import Settings
from changeover.workers.protocol.assembly import Rule
from changeover.workers.protocol.document import nearest
from changeover.workers.protocol.snapshot import ChannelSpec, Snapshot


def checked_selection(
    channels: Channels, settings: Settings, contents: Contents, broken: Set[str], origin: str
) -> Channels:
    """Add to the problems of channels that they name an initializer or a selector which no plugin has.

    Args:
        channels: Those of a candidate.
        settings: Where most of them are from.
        contents: Every plugin.
        broken: Plugins that are there and cannot be used, which is told already.
        origin: The configuration's file, for messages.
    """
    configured = {channel.bind: (index, channel) for index, channel in enumerate(settings.channels)}
    problems = list(channels.problems)
    for spec in channels.specs:
        index, channel = configured.get(spec.key.ref.name, (-1, Channel(spec.key.ref.name)))
        named = [("initializer", name) for name in spec.initializers] + [("selector", name) for name in spec.selectors]
        for kind, name in named:
            if reason := _unknown(kind, name, contents, broken):
                problems += (Problem(reason, origin, path) for path in _paths(kind, name, index, channel))
    return msgspec.structs.replace(channels, problems=tuple(problems))


def _paths(kind: str, name: str, index: int, channel: Channel) -> Iterator[str]:
    """Where a configuration names something; that of a channel which serves from before is named by address."""
    field = "use" if kind == "selector" else "initializer"
    places = [f"select[{number}].{field}" for number, it in enumerate(channel.select) if getattr(it, field) == name]
    places += ["safe"] if kind == "initializer" and channel.safe == name else []
    yield from (f"$.channels[{index}].{place}" for place in places) if places else (f"$.channels ({channel.bind})",)


def _unknown(kind: str, name: str, contents: Contents, broken: Set[str]) -> str:
    plugin, _, own = name.partition(":")
    if plugin in broken:
        return ""
    if plugin not in contents:
        return f"there is no plugin {plugin}{nearest(plugin, contents)}"
    manifest = contents[plugin].manifest
    offered = manifest.selectors if kind == "selector" else manifest.initializers
    return "" if own in offered else f"{contents[plugin].name} has no {kind} {own}{nearest(own, offered)}"


def without_withheld(
    channels: Channels, contents: Contents, lying: Container[str], current: Snapshot | None
) -> tuple[Channels, tuple[str, ...]]:
    """Leave the selection as it serves where it names a plugin that lies on disk and is not taken.

    Args:
        channels: What is wanted.
        contents: Every plugin that the candidate has.
        lying: Every plugin that lies on disk.
        current: What is served; None when nothing is.

    Returns:
        What is left of it, and what is not taken, for people.
    """
    serving = {spec.key.ref.name: spec for spec in current.channels} if current else {}
    specs, notes = list[ChannelSpec](), list[str]()
    for spec in channels.specs:
        plugins = [name.partition(":")[0] for name in (*spec.initializers, *spec.selectors)]
        missed = [name for name in plugins if name in lying and name not in contents]
        if missed:
            notes.append(f"not taken: selection at {spec.key.ref.name} (plugin {missed[0]} is not taken)")
            spec = with_selection_of(spec, serving.get(spec.key.ref.name))
        specs.append(spec)
    return msgspec.structs.replace(channels, specs=tuple(spec for spec in specs if not spec.is_bare)), tuple(notes)


def with_selection_of(spec: ChannelSpec, other: ChannelSpec | None) -> ChannelSpec:
    """A channel that selects as another one does; None selects HTTP for all."""
    rules, safe = ((Rule(),), "") if other is None else (other.rules, other.safe)
    return msgspec.structs.replace(spec, rules=rules, safe=safe)
