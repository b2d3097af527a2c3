"""Why workers that are wanted are not to be had, in words for people. Pure."""

PARTS_MOVE = (
    "other addresses are for all workers at one instant, and not for one part after the other: leave out "
    "--allow-partial, or change addresses by a reload of their own"
)
"""Why a roll in parts is refused that would also be served elsewhere."""
IN_PARTS = "a roll in parts is under way: how many workers there are can be changed when it is done"
RELIEF_WAITS = "no slot number is free for the worker that would take its place: it is replaced once one is"


def roll_refused(slots: int, free: int) -> str:
    """Why a roll of `slots` workers does not begin, for people."""
    return (
        f"a roll starts {slots} workers beside those that are there, and {free} slot numbers are free: wait until"
        " workers that were replaced have left (`changeover status`), or want fewer workers"
    )


def surge_refused(slots: int, surge: int) -> str:
    """Why a roll does not begin that may have only `surge` extra workers, for people."""
    parts = "let parts of them serve one after the other (--allow-partial)"
    return (
        f"all workers are replaced at one instant, so a roll needs as many extra workers as there are: {slots}, where"
        f" {surge} are allowed; allow as many, or {parts if surge else f'allow 1 and {parts}'}"
    )


def scale_refused(slots: int, most: int) -> str:
    """Why so many workers cannot be had, for people."""
    return (
        f"{slots} workers would need more slot numbers than there are: beside workers that are on their way out, or"
        f" start for a roll, there is room for {most} now"
    )
