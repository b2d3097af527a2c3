"""Virtual environments beside the one that tests run in, made without a network."""

import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
HERE = (sysconfig.get_path("purelib"), str(ROOT / "supervisor"), str(ROOT / "workers"))
"""Where changeover and what it needs can be imported from."""


class Environment:
    """A virtual environment that shares what is installed here, and is another place all the same.

    Args:
        folder: Where it is made.
        search: What its import path has beside its own folder.

    Attributes:
        folder: Where it lies; what its processes have as `sys.prefix`.
        python: Its interpreter.
    """

    def __init__(self, folder: Path, search: tuple[str, ...] = HERE) -> None:
        venv.create(folder, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        (self.packages / "here.pth").write_text("\n".join(search))

    def install(self, name: str, version: str) -> None:
        """Have a distribution there, by the name of its folder."""
        (self.packages / f"{name}-{version}.dist-info").mkdir()

    def at_start(self, code: str) -> None:
        """Have each of its interpreters begin with this."""
        (self.packages / "sitecustomize.py").write_text(code)


def script(path: Path, text: str) -> Path:
    """A program that is none of Python's."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def claims(path: Path, implementation: str, version: str) -> Path:
    """A program that says it is some Python."""
    release = version.split(".")[:2]
    said = f'{{"implementation":"{implementation}","version":"{version}","release":[{",".join(release)}]}}'
    return script(path, f"printf '%s' '{said}' > /dev/fd/$3")
