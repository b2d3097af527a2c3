"""A server hook of the supervisor's that is a function, in a process of its own: a supervisor imports no code of yours.

`python -P -m changeover.workers.runtime.hook_function DIRECTORY MODULE:FUNCTION`: what it is told is JSON on stdin.
"""

import asyncio
import inspect
import sys

import msgspec

from changeover.workers.runtime.hook_command import hook_function


def main(directory: str, named: str) -> None:
    """Call the function, and await what it returns where that has to be awaited.

    Args:
        directory: The application's folder, put first on the import path; empty for none.
        named: `module:function`.
    """
    told = msgspec.json.decode(sys.stdin.buffer.read())
    if directory:
        sys.path.insert(0, directory)
    returned = hook_function(named)(told)
    if inspect.iscoroutine(returned):
        asyncio.run(returned)


if __name__ == "__main__":
    main(*sys.argv[1:])
