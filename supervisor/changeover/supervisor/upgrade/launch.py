"""How this program was started, as it has to be known to start another one in its place."""

import os
import sys
from typing import Self

import msgspec


class Launch(msgspec.Struct, frozen=True):
    """One start of the supervisor.

    Attributes:
        python: The interpreter, as it was called.
        arguments: What was typed behind the program's name.
        directory: Where.
        environment: With which variables.
    """

    python: str
    arguments: tuple[str, ...]
    directory: str
    environment: dict[str, str]

    @classmethod
    def of_this_process(cls) -> Self:
        """Look it up; before anything of it is changed."""
        return cls(sys.executable, tuple(sys.argv[1:]), _directory(), dict(os.environ))

    def again(self) -> dict[str, str]:
        """The environment of the next program: descriptors that a service manager passed have other numbers by now."""
        gone = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
        return {name: value for name, value in self.environment.items() if name not in gone}


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"  # it was removed: `--chdir` leads out of there, and nothing leads back
