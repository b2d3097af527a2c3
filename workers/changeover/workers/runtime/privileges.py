"""What a zygote gives up before any user code runs, for itself and for every worker."""

from changeover.workers.runtime import kernel


def give_up_new_privileges() -> None:
    """Gain nothing any more by executing a file: setuid bits and file capabilities are without effect.

    Raises:
        OSError: The kernel refuses.
    """
    kernel.prctl("no_new_privs cannot be set", kernel.PR_SET_NO_NEW_PRIVS, 1)
