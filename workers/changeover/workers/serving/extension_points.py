"""Extension points: code asks for what plugins offer, and gets that of the generation that it works under.

Asking costs a context variable and two look-ups: what is offered was laid out when the generation
was built. Nothing that is changed is shared between threads.
"""

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.attribution import current_work
from changeover.workers.serving.lease import current_lease
from changeover.workers.serving.offering import current_candidate, here

P = TypeVar("P")

Elsewhere = Callable[[str], tuple[object, ...]]
"""What is offered at a point in a process where no generation serves."""


class ExtensionPointLate(ChangeoverError):
    """A plugin's code asked in a request that holds no plugins for it.

    Attributes:
        point: Name of the extension point.
        path: What the request asked for.
    """

    def __init__(self, point: str, path: str) -> None:
        self.point = point
        self.path = path
        super().__init__(
            f"{path} does not hold the plugins behind {point!r}: none of its plugins had an extension point when it "
            "was loaded; make yours at the top of a module that the plugin imports, not where it is asked"
        )


class ExtensionPointEarly(ChangeoverError):
    """An extension point was asked in a worker, or in what is forked into workers, before anything serves there.

    Attributes:
        point: Name of the extension point.
    """

    def __init__(self, point: str) -> None:
        self.point = point
        super().__init__(
            f"extension point {point!r} was asked while nothing serves here; make it where you import, and ask it in a "
            "request, in a lifespan or in a plugin's hook"
        )


class ExtensionPoint(Generic[P]):
    """A place where plugins offer something; calling it gives what they offer.

    Args:
        name: The point's name, as manifests have it.
        protocol: What is offered there, for the type checker.
        elsewhere: Asked in a process where no generation serves.
        module: Who made it, where that is no plugin's own module; empty otherwise.

    Attributes:
        name: The point's name, as manifests have it.
    """

    __slots__ = ("_elsewhere", "name")

    def __init__(self, name: str, protocol: Callable[..., P], elsewhere: Elsewhere, module: str = "") -> None:
        self.name = name
        self._elsewhere = elsewhere
        if module:
            here.made(name, module)
        work = current_work.get()
        if work is not None:
            work.asks.add(name)

    def __call__(self) -> tuple[P, ...]:
        """What plugins offer here, each after what its plugin requires; empty when none does.

        Under a request it is what belongs to the generation that the request was dispatched to, for as long as it
        runs, in its threads and tasks too. In the hooks of a plugin, and in the lifespan of an application, it is
        what is ready of the generation that is being built; after that, and in tasks of nobody, what serves.

        Raises:
            ExtensionPointLate: A plugin asks, whose request holds no plugins for it.
            ExtensionPointEarly: Nothing serves yet.
            PluginsUnknown: No server runs this code, and nobody said where its plugins are.
        """
        lease = current_lease.get()
        if lease is None:
            return cast(tuple[P, ...], self._unheld())
        extensions = lease.units.extensions
        if extensions is not None:
            return cast(tuple[P, ...], extensions.get(self.name, ()))
        if lease.units.retired:
            return cast(tuple[P, ...], self._unheld())
        raise ExtensionPointLate(self.name, lease.path)

    def _unheld(self) -> tuple[object, ...]:
        candidate = current_candidate.get()
        if candidate is not None and (ready := candidate.extensions) is not None:
            return ready.get(self.name, ())
        if (serves := here.serves) is not None:
            return serves.get(self.name, ())
        if here.is_worker:
            raise ExtensionPointEarly(self.name)
        return self._elsewhere(self.name)

    def __repr__(self) -> str:
        return f"<ExtensionPoint {self.name}>"
