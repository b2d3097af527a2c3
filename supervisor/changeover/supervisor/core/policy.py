"""Every deadline and limit of the supervisor's decisions, in one frozen value."""

import enum

import msgspec

from changeover.supervisor.core.outcome import SilentWorkers


class Boot(enum.Enum):
    """What a supervisor serves that finds no living workers."""

    AUTO = "auto"
    """What is on disk; refused or held, the last committed content, loudly."""
    LAST = "last"
    """The last committed content, whatever is on disk."""
    DISK = "disk"
    """What is on disk, or nothing."""


class Deadlines(msgspec.Struct, frozen=True):
    """How long each wait lasts, in seconds.

    Attributes:
        scan: Reading disk and making a candidate.
        preflight: The rehearsal, and finding out where it stands still.
        prepare: From the first Prepare to the last answer; anew for who is asked late because others crash or hang.
        inquire: For the stacks of workers that did not answer.
        activate: From the commit to the last Activated; who prepared and is late is killed and replaced.
        persist: One entry of the journal; past it a decision is in doubt.
        reread: Between two attempts to settle a doubt or to write what could not be written.
        fork: From the wish for a worker to its pid.
        boot: From a worker's pid, or the commit for who came after the vote, to serving; and from a supervisor's start
            to knowing who lives.
        zygote: Preloading.
        graceful: From TERM to QUIT.
        quick: From QUIT to KILL.
        kill: From KILL to giving up on a process that does not die.
        handover: From being replaced to being gone; longer than every class of lease may hold a process.
        upgrade: For a cutover that an upgrade of the supervisor finds under way; past it the cutover is aborted.
        takeover: For the next program, and for the way back to this one: no worker gives up on us sooner meanwhile.
        rescue: How long the zygote that a roll replaced is kept; when all workers crash meanwhile, the way back is
            taken at once. 0 = not at all.
    """

    scan: float = 60.0
    preflight: float = 60.0
    prepare: float = 60.0
    inquire: float = 2.0
    activate: float = 5.0
    persist: float = 10.0
    reread: float = 1.0
    fork: float = 10.0
    boot: float = 90.0
    zygote: float = 120.0
    graceful: float = 30.0
    quick: float = 5.0
    kill: float = 10.0
    handover: float = 3660.0
    upgrade: float = 60.0
    takeover: float = 60.0
    rescue: float = 300.0


class Rhythm(msgspec.Struct, frozen=True):
    """What is repeated, and how often, in seconds.

    Attributes:
        heartbeat: Between two Pulses.
        silence: Without a message for this long a worker counts as silent (which is not dead).
        hung: Without a message for this long a worker is killed, once its stacks are written down; 0 = never.
        repeat: Before an unacknowledged Prepare, Commit or Retire is repeated to its worker.
    """

    heartbeat: float = 1.0
    silence: float = 3.5
    hung: float = 60.0
    repeat: float = 2.0


class Restarts(msgspec.Struct, frozen=True):
    """How eagerly a dead worker is replaced.

    Attributes:
        delay: Before the second replacement within `period`, in seconds; doubled for each further one.
            The first comes at once.
        longest: The longest such delay.
        intensity: So many exits within `period` park the slot, unless all others are.
        period: In seconds.
        parked: Before a parked slot is tried again, in seconds.
    """

    delay: float = 0.5
    longest: float = 30.0
    intensity: int = 5
    period: float = 60.0
    parked: float = 300.0


class Limits(msgspec.Struct, frozen=True):
    """How much a worker does before another takes its place; 0 is no limit.

    Attributes:
        requests: How many requests it answers.
        requests_jitter: Up to so many more, different for each worker.
        lifetime: How long it lives, in seconds.
        lifetime_jitter: Up to so much longer, different for each worker.
        memory: How much resident memory it has, in bytes.
        leaks: How many copies of units it released that are not gone.
        request: How long it may owe the response to one request, in seconds.
    """

    requests: int = 0
    requests_jitter: int = 0
    lifetime: float = 0.0
    lifetime_jitter: float = 0.0
    memory: int = 0
    leaks: int = 0
    request: float = 0.0


class Policy(msgspec.Struct, frozen=True):
    """How the supervisor decides.

    Attributes:
        boot: What a cold start serves.
        on_silent_workers: What becomes of a worker that lets the prepare deadline pass.
        preflight: Whether a candidate is rehearsed in a disposable process first.
        wave: How many workers build a candidate at a time, so that the others serve undisturbed; 0 = all at once.
        numbers: How many slot numbers there are, from 0.
        deadlines: How long each wait lasts.
        rhythm: What is repeated, and how often.
        restarts: How eagerly a dead worker is replaced.
        limits: When a living one is.
    """

    boot: Boot = Boot.AUTO
    on_silent_workers: SilentWorkers = SilentWorkers.ABORT
    preflight: bool = False
    wave: int = 0
    numbers: int = 512
    deadlines: Deadlines = Deadlines()
    rhythm: Rhythm = Rhythm()
    restarts: Restarts = Restarts()
    limits: Limits = Limits()
