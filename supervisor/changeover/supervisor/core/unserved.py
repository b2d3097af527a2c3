"""Whether new processes would run plugins that no process has served yet, or with something else beside them. Pure."""

from collections.abc import Collection

from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitRef


def is_unserved(candidate: Snapshot, committed: Snapshot | None, trusted: Collection[str] = ()) -> bool:
    """Whether something about the candidate's plugins has not served before: they, or what they run with.

    Args:
        candidate: What new processes are to serve.
        committed: What was committed last; None before the first commit.
        trusted: Plugins that nobody rehearses.
    """
    plugins = _plugins(candidate)
    if all(ref.name in trusted for ref in plugins):
        return False
    if committed is None or not plugins.items() <= _plugins(committed).items():
        return True
    differ = _distributions(candidate) != _distributions(committed)
    return differ or candidate.interpreter.is_other(committed.interpreter)


def _plugins(snapshot: Snapshot) -> dict[UnitRef, str]:
    """Plugin -> digest of its content, its configuration, and all that it requires."""
    return {unit.key.ref: unit.key.digest for unit in snapshot.units if isinstance(unit, PluginSpec)}


def _distributions(snapshot: Snapshot) -> str:
    """What was installed; nobody writes that down where there is no application."""
    return "" if snapshot.application is None else snapshot.application.distributions
