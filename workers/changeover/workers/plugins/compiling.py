"""Compiles large modules in a process of their own, because the compiler never lets the loop run.

`compile` holds the interpreter's lock from beginning to end, some milliseconds for every 16 KiB,
and whatever thread it runs in, requests wait that long. Starting a process holds the lock too,
until the child has begun its program, so below a certain size the compiler is the shorter wait.
"""

import logging
import marshal
import subprocess
import sys
from collections.abc import Mapping

log = logging.getLogger("changeover.plugins")

LARGE = 64 * 1024
"""Bytes of source from which a module is compiled in a process of its own."""
DEADLINE = 10.0
"""Seconds that the process may take; what is not compiled by then is compiled when it is imported."""

_PROGRAM = """
import marshal, sys
compiled = {}
for path, source in marshal.load(sys.stdin.buffer).items():
    try:
        compiled[path] = marshal.dumps(compile(source, path, "exec", dont_inherit=True, optimize=int(sys.argv[1])))
    except Exception:
        pass
marshal.dump(compiled, sys.stdout.buffer)
"""


def compile_large(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Compile what is large among `sources`. Blocks, without the interpreter's lock.

    Args:
        sources: Path, as tracebacks will name it -> source.

    Returns:
        Path -> marshalled code. What cannot be compiled is left out: its import will say why.
    """
    large = {path: source for path, source in sources.items() if len(source) >= LARGE}
    if not large:
        return {}
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(sys.flags.optimize)]
    try:
        run = subprocess.run(command, input=marshal.dumps(large), capture_output=True, timeout=DEADLINE, check=True)
        compiled: dict[str, bytes] = marshal.loads(run.stdout)
    except (OSError, subprocess.SubprocessError, EOFError, ValueError) as error:
        log.warning("%d modules are compiled beside the loop, which may stall it: %r", len(large), error)
        return {}
    return compiled
