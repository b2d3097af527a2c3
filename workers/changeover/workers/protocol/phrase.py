"""The one canonical phrase per process: the same in titles, logs and tests."""


def supervisor_phrase(name: str, state: str) -> str:
    """Say who the supervisor is (`changeover: shop supervisor [epoch 7]`)."""
    return _phrase(name, "supervisor", state)


def zygote_phrase(name: str, cohort: int, state: str) -> str:
    """Say who a zygote is (`changeover: shop zygote 3 [4 workers]`)."""
    return _phrase(name, f"zygote {cohort}", state)


def worker_phrase(name: str, slot: int, state: str) -> str:
    """Say who a worker is (`changeover: shop worker 2 [epoch 7; 3 leases on 6]`)."""
    return _phrase(name, f"worker {slot}", state)


def preflight_phrase(name: str, state: str) -> str:
    """Say what a process rehearses (`changeover: shop preflight [epoch 8]`)."""
    return _phrase(name, "preflight", state)


def _phrase(name: str, role: str, state: str) -> str:
    return f"changeover: {name} {role} [{state}]"
