"""Who a rehearsal is: nobody, where it would be root otherwise; it may read everything then, and writes nothing."""

import os

import msgspec

from changeover.workers.runtime import kernel

NOBODY = 65534
"""The user and group that everywhere on Linux stand for no one."""

DAC_OVERRIDE, DAC_READ_SEARCH, SETGID, SETUID = 1, 2, 6, 7


class Account(msgspec.Struct, frozen=True):
    """Whom a rehearsal runs as.

    Attributes:
        user: Its number.
        group: Its number.
        kept: The capability that lets it read what its service reads.
    """

    user: int
    group: int
    kept: int


def account() -> Account | None:
    """Whom a rehearsal of this process is to run as; None when it stays who it is.

    Another user is for root alone, whom no limit of processes binds. In a container root may lack what it takes.
    """
    permitted = kernel.permitted_capabilities()
    reading = next((each for each in (DAC_READ_SEARCH, DAC_OVERRIDE) if each in permitted), None)
    if os.geteuid() != 0 or reading is None or not {SETGID, SETUID} <= permitted:
        return None
    return Account(NOBODY, NOBODY, reading)


def become(account: Account | None) -> None:
    """Be that user from now on, without any capability but what it keeps.

    Raises:
        OSError: The kernel refuses.
    """
    if account is None:
        kernel.keep_capabilities(frozenset())
        return
    kernel.prctl("capabilities cannot be kept", kernel.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(account.group, account.group, account.group)
    os.setresuid(account.user, account.user, account.user)
    kernel.keep_capabilities(frozenset({account.kept}))
    kernel.prctl("its /proc cannot be its own", kernel.PR_SET_DUMPABLE, 1)
