"""A generation without some of its units."""

from collections.abc import Collection

import msgspec

from changeover.workers.protocol.snapshot import Snapshot, UnitKind, UnitRef


def without(snapshot: Snapshot, refs: Collection[UnitRef]) -> Snapshot:
    """Leave units out, and all that requires them.

    Args:
        snapshot: The generation.
        refs: What is left out.
    """
    gone = set(refs)
    kept = []
    for unit in snapshot.units:
        if unit.key.ref in gone or gone.intersection(unit.requires):
            gone.add(unit.key.ref)
        else:
            kept.append(unit)
    routes = (route for route in snapshot.routes if UnitRef(UnitKind.PIPELINE, route.pipeline) not in gone)
    return msgspec.structs.replace(snapshot, units=tuple(kept), routes=tuple(routes))
