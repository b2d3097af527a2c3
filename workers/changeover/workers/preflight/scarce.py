"""Says of a refusal for want of something which setting of a preflight gives more of it."""

import errno

import msgspec

from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import Confinement


def explained(refusal: Refusal, settings: Confinement) -> Refusal:
    """A refusal as one of the preflight; where what it lacked is limited here alone, its reason may pass.

    Args:
        refusal: As a worker would word it.
        settings: What the rehearsal may use up.
    """
    told = msgspec.structs.replace(refusal, stage=Stage.PREFLIGHT)
    why = next((why for words, why in _limits(settings) if refusal.summary.startswith(words)), "")
    return msgspec.structs.replace(told, fault=Fault.RESOURCE, summary=f"{refusal.summary}: {why}") if why else told


def _limits(settings: Confinement) -> tuple[tuple[str, str], ...]:
    """How a refusal begins that has met a limit, and what that is."""
    memory = f"{settings.memory / 2**20:.0f} MiB"
    return (
        (MemoryError.__name__, f"a preflight has {memory} beyond what it begins with ([preflight] memory)"),
        (
            "RuntimeError: can't start new thread",
            f"a preflight has {settings.processes} processes and threads ([preflight] processes)",
        ),
        (f"OSError: [Errno {errno.EFBIG}]", f"a file has {memory} in a preflight ([preflight] memory)"),
    )
