"""What a zygote gives up before any user code runs, for itself and for every worker."""

import ctypes
import os

PR_SET_NO_NEW_PRIVS = 38


def give_up_new_privileges() -> None:
    """Gain nothing any more by executing a file: setuid bits and file capabilities are without effect.

    Raises:
        OSError: The kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no_new_privs cannot be set: {os.strerror(number)}")
