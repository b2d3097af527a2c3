"""Runs a server hook that is a command: the record on its stdin, a deadline, and nobody waits for it longer."""

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from changeover.workers.plugins.callable_with import misfit
from changeover.workers.plugins.refused import ContractBroken
from changeover.workers.runtime.birth import function_named

FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""What names a function; everything else is a command."""


def hook_function(named: str) -> Callable[..., Any]:
    """Import the function that a server hook names.

    Args:
        named: `module:function`.

    Raises:
        ContractBroken: It cannot be called as server hooks are.
    """
    function = function_named(named)
    if (error := misfit(function, {})) is not None:
        fact = f"{named} cannot be called with one argument, the table of facts that a server hook gets ({error})"
        raise ContractBroken(f"{fact}; gunicorn gives its hooks other arguments") from error
    return function


async def run_command(command: str, told: bytes, deadline: float) -> str:
    """Run a command to its end.

    Args:
        command: Program and arguments, as a shell would split them; no shell takes part.
        told: What it can read from stdin.
        deadline: Seconds until it is killed with all that it started.

    Returns:
        Why it failed, in words; empty when it did not.
    """
    return await run_program(shlex.split(command), told, deadline)


async def run_program(arguments: Sequence[str], told: bytes, deadline: float, **how: Any) -> str:
    """Run a program to its end, as `run_command` does.

    Args:
        arguments: Program and arguments.
        told: What it can read from stdin.
        deadline: Seconds until it is killed with all that it started.
        how: As `subprocess.Popen` takes it: as whom, where, with which environment.

    Returns:
        Why it failed, in words; empty when it did not.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.PIPE, start_new_session=True, **how
        )
    except OSError as error:
        return f"cannot be executed: {error.strerror or error}"
    try:
        async with asyncio.timeout(deadline):
            await process.communicate(told)
    except TimeoutError:
        return f"was not done within {deadline:g} s and was killed"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    status = process.returncode or 0
    return "" if status == 0 else f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
