"""Typed places for what handlers leave to those behind them.

Public: re-exported by `changeover.plugin`.
"""

from typing import Generic, TypeVar

from changeover.workers.serving.contract import CallContext

T = TypeVar("T")


class Extension(Generic[T]):
    """A name in `call.extensions` whose value has a type, also between plugins that are swapped on their own.

    Whoever writes and whoever reads each make their own: `TENANT = Extension("tenant", str)`.

    Args:
        name: The key in `call.extensions`.
        type: What the value is: a class, best a builtin one, because classes of a plugin differ between its versions.
    """

    __slots__ = ("_type", "name")

    def __init__(self, name: str, type: type[T]) -> None:
        self.name = name
        self._type = type

    def set(self, call: CallContext, value: T) -> None:
        """Leave a value.

        Raises:
            TypeError: It is of another type.
        """
        call.extensions[self.name] = self._checked(value)

    def get(self, call: CallContext) -> T | None:
        """The value that was left; None when none was.

        Raises:
            TypeError: It is of another type: somebody else means something else by the name.
        """
        value = call.extensions.get(self.name)
        return None if value is None else self._checked(value)

    def _checked(self, value: object) -> T:
        if isinstance(value, self._type):
            return value
        raise TypeError(f"extension {self.name!r} is a {type(value).__name__} here, not a {self._type.__name__}")
