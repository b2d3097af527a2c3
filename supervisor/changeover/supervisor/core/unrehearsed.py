"""Whether new processes would run plugins that no process has served yet, or with something else beside them. Pure."""

from collections.abc import Collection

from changeover.workers.protocol.snapshot import ChannelSpec, PluginSpec, ServiceSpec, Snapshot, UnitRef, UnitSpec


def is_unrehearsed(candidate: Snapshot, committed: Snapshot | None, exempt: Collection[str] = ()) -> bool:
    """Whether something about the candidate's plugins has not served before: they, or what they run with.

    Fewer of them are something new, too: what is gone may have offered, at an extension point or to the whole process,
    what one that stays asks for as it loads, and does not require.

    Args:
        candidate: What new processes are to serve.
        committed: What was committed last; None before the first commit.
        exempt: Plugins that nobody rehearses.
    """
    plugins = (unit.key.ref.name for unit in candidate.units if isinstance(unit, PluginSpec))
    if all(name in exempt for name in plugins):
        return False
    if committed is None or _coded(candidate) != _coded(committed):
        return True
    differ = _distributions(candidate) != _distributions(committed)
    return differ or candidate.interpreter.is_other(committed.interpreter)


def _coded(snapshot: Snapshot) -> dict[UnitRef, str]:
    """What runs code of plugins as it is made -> digest of its content, configuration, and all that it requires."""
    return {unit.key.ref: unit.key.digest for unit in snapshot.units if _is_coded(unit)}


def _is_coded(unit: UnitSpec) -> bool:
    """Services and initializers are made of their plugin's code too, and only where a mount or a channel names them."""
    return isinstance(unit, PluginSpec | ServiceSpec) or (isinstance(unit, ChannelSpec) and bool(unit.requires))


def _distributions(snapshot: Snapshot) -> str:
    """What was installed; nobody writes that down where there is no application."""
    return "" if snapshot.application is None else snapshot.application.distributions
