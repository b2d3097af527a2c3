"""`atexit`, for code that ends before the process does: what it registers runs at its own end."""

import atexit
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from changeover.workers.plugins.facades.facade import Facade, Modules
from changeover.workers.serving.attribution import UnitWork

P = ParamSpec("P")
T = TypeVar("T")


def facade(modules: Modules) -> Facade:
    """What the code of `modules` sees as `atexit`."""
    work = modules.work

    def register(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, T]:
        """Have `call` run at the end of this version of the plugin, or of the process where that comes first."""
        own = partial(call, *args, **kwargs)
        atexit.register(own)
        work.exits.append(own)
        return call

    def unregister(call: Callable[..., object], /) -> None:
        """Take back every registration of `call`."""
        for own in [each for each in work.exits if each.func == call]:
            work.exits.remove(own)
            atexit.unregister(own)
        atexit.unregister(call)

    return Facade(atexit, register=register, unregister=unregister)


def run(work: UnitWork) -> None:
    """Run what a unit's code registered, the latest first, and forget it.

    Raises:
        BaseException: The first that one of them raised; the others ran all the same.
    """
    failed: BaseException | None = None
    while work.exits:
        call = work.exits.pop()
        atexit.unregister(call)
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - told when the others have had their turn
            failed = failed or error
    if failed is not None:
        raise failed
