"""What an interpreter is asked in a process of its own, before a zygote is started from it.

`python -c <this> FD NAME...` writes one JSON object to FD: who it is, and what of NAME it cannot import. It is executed
there as text, by an interpreter that may be anything: until its version is known only what every Python has is used.
"""

import json
import os
import platform
import sys

OLDEST = (3, 11)
"""The oldest version that can say more than who it is."""

PLACES = [
    "changeover.workers.pinned.content",
    "changeover.workers.pinned.distributions",
    "changeover.workers.pinned.announced",
]
"""What knows where things are; a changeover that lacks it speaks another protocol, which is to be said first."""


def answer(names):
    # type: (list[str]) -> dict[str, object]
    """Say who this interpreter is and what it has."""
    said = {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "release": sys.version_info[:2],
    }  # type: dict[str, object]
    if said["implementation"] == "CPython" and sys.version_info[:2] >= OLDEST:
        lacking = missing(names)
        said.update(own() if not lacking else {"missing": lacking})
    return said


def missing(names):
    # type: (list[str]) -> dict[str, str]
    """Why a name cannot be imported, for each that cannot."""
    import importlib

    found = {}
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - whatever a module raises, exits included, is the answer
            found[name] = ": ".join((type(error).__name__, str(error)))
    return found


def own():
    # type: () -> dict[str, object]
    """What changeover's own code there says: its wire, and where this interpreter looks for what is installed."""
    from importlib.metadata import PackageNotFoundError, version

    from changeover.workers.protocol.messages import PROTOCOL_VERSION

    try:
        installed = version("changeover")
    except PackageNotFoundError:
        installed = ""
    said = {"protocol": PROTOCOL_VERSION, "changeover": installed}  # type: dict[str, object]
    lacking = missing(PLACES)
    said.update(places() if not lacking else {"missing": lacking})
    return said


def places():
    # type: () -> dict[str, object]
    """Where distributions are installed, the plugins that they announce, and the interpreter's own folders."""
    import msgspec

    from changeover.workers.pinned.announced import announced
    from changeover.workers.pinned.content import interpreter_folders
    from changeover.workers.pinned.distributions import own_path

    search = own_path()
    plugins = msgspec.to_builtins(announced(search))
    return {"search": search, "folders": sorted(interpreter_folders()), "plugins": plugins}


if __name__ == "__main__":
    os.write(int(sys.argv[1]), json.dumps(answer(sys.argv[2:])).encode())
    os._exit(0)
