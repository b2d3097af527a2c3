"""What the system has to have so that workers write only where they are let."""

from collections.abc import Callable
from pathlib import Path

from changeover.supervisor.config.settings import Settings
from changeover.workers.protocol.document import Mistake
from changeover.workers.runtime import landlock


def mistakes(settings: Settings, abi: Callable[[], int] = landlock.abi) -> list[Mistake]:
    """Say that the kernel cannot do it, or which folders are not there. Asks the system.

    Args:
        settings: What is wanted.
        abi: Tells the version of the kernel's Landlock.
    """
    if not settings.landlock:
        return []
    try:
        landlock.require(abi())
    except landlock.LandlockMissing as error:
        return [Mistake("$.landlock", str(error))]
    missing = [(index, folder) for index, folder in enumerate(settings.writable) if not Path(folder).is_dir()]
    return [Mistake(f"$.writable[{index}]", f"{folder} is no folder: make it first") for index, folder in missing]
