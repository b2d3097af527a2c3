"""What the process keeps of the memory that it does not need at the moment."""

KEPT = 1024 * 1024


def keep_heap() -> None:
    """Keep the end of the heap, up to twice `KEPT`, instead of handing it back and asking again at once.

    glibc hands back whatever is free at the end beyond 128 KiB, so that the pieces of an upload, which come and go,
    cost a quarter more: for pages that are taken away and made anew. It learns by the first large piece that is let go
    which sizes come and go; an environment that sets its limits (`MALLOC_TRIM_THRESHOLD_`) stays in charge.
    """
    bytes(KEPT)
