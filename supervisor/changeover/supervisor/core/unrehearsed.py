"""Whether new processes would run plugins that no process has served yet, or with something else beside them. Pure."""

from collections.abc import Collection

from changeover.workers.protocol.rehearsal import with_other_resources
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
    return committed is None or _coded(candidate) != _coded(committed) or _runs_elsewhere(candidate, committed)


def served_as_it_is(candidate: Snapshot, committed: Snapshot | None, goes_back: bool) -> tuple[UnitRef, ...]:
    """What of a roll's candidate served last, and has to do with nothing that is new: it may fail where it is confined.

    Where something is gone, or what all of it runs in differs, it may be that which fails it, and nothing served so.
    What goes back has served so as a whole.

    Args:
        candidate: What new processes are to serve.
        committed: What was committed last; None before the first commit.
        goes_back: Whether the candidate brings back what served.
    """
    if committed is None:
        return ()
    coded, before = _coded(candidate), _coded(committed)
    if not goes_back and (not before.keys() <= coded.keys() or _runs_elsewhere(candidate, committed)):
        return ()
    return tuple(ref for ref, digest in coded.items() if before.get(ref) == digest)


def served_with_other_resources(candidate: Snapshot, committed: Snapshot | None) -> tuple[UnitRef, ...]:
    """Plugins that the candidate brings and whose code served: nothing but their resources differs.

    Args:
        candidate: What is to serve.
        committed: What was committed last; None before the first commit.
    """
    if committed is None or _runs_elsewhere(candidate, committed):
        return ()
    return with_other_resources(candidate, committed)


def _runs_elsewhere(candidate: Snapshot, committed: Snapshot) -> bool:
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
