"""What goes wrong in one schedule, all of it out of one seed."""

import enum
from dataclasses import dataclass
from random import Random


class Fault(enum.Enum):
    """What can go wrong in the middle of a cutover."""

    WORKER_DIES = "a worker dies"
    WORKER_FREEZES = "a worker falls silent, and wakes"
    WORKER_CUT_OFF = "a worker hears nothing, and nobody hears it"
    SUPERVISOR_DIES = "the supervisor dies"
    DIES_AFTER_STORE = "the supervisor dies right after the store into the commit cell"
    DIES_IN_BROADCAST = "the supervisor dies when some have heard"
    DISK = "the journal fails"
    ZYGOTE_DIES = "the zygote dies"
    SCALE = "more or fewer workers are wanted"
    REQUEST = "somebody else asks for a cutover"
    CRASH_LOOP = "new workers die for a while"
    UPGRADE = "the supervisor becomes another program"
    LATER_TERM = "a worker knows a later term"


@dataclass(slots=True)
class Plan:
    """How the world behaves until it heals.

    Attributes:
        workers: How many are wanted at first.
        cutovers: How many are asked for.
        loss: Chance that a message is lost.
        twice: Chance that it comes twice.
        jitter: Longest time it takes, in seconds; shorter ones overtake longer ones.
        fault: Chance of a fault when a cutover enters a phase.
        forks_fail: Chance that a fork fails.
        forks_mute: Chance that nobody hears of a fork.
        zygote_fails: Chance that a zygote does not preload.
        slow_scans: Whether scans may outlast their deadline.
        preflight: Whether candidates are rehearsed.
        wave: How many workers build at a time, 0 for all.
        kill_silent: Whether silent workers are killed.
        flawed: Chance that a content breaks workers.
        rolls: Chance that a content needs new processes.
        moves: Chance that it is served at other addresses.
        batch: How many workers of a roll boot at once, None for all.
        surge: How many extra workers a roll may have, which is done in parts then; None for as many as it needs.
        numbers: How many slot numbers there are.
        tires: After how many requests a worker is replaced, 0 for never.
        stops: When the service is stopped, seconds; None when it is not.
        absent: Longest time without a supervisor.
        lasts: When the world heals, in seconds.
        migrates: Whether contents migrate something; in parts, where that is refused, they never do.
    """

    workers: int
    cutovers: int
    loss: float
    twice: float
    jitter: float
    fault: float
    forks_fail: float
    forks_mute: float
    zygote_fails: float
    slow_scans: bool
    preflight: bool
    wave: int
    kill_silent: bool
    flawed: float
    rolls: float
    moves: float
    batch: int | None
    surge: int | None
    numbers: int
    tires: int
    stops: float | None
    absent: float
    lasts: float
    migrates: bool

    @classmethod
    def drawn(cls, random: Random) -> "Plan":
        """Draw a plan."""
        return cls(
            workers=random.choice((3, 3, 3, 4)),
            cutovers=random.choice((2, 3, 3)),
            loss=random.choice((0.0, 0.02, 0.1)),
            twice=random.choice((0.0, 0.03)),
            jitter=random.choice((0.005, 0.03, 0.15)),
            fault=random.choice((0.1, 0.25, 0.4)),
            forks_fail=random.choice((0.0, 0.0, 0.1)),
            forks_mute=random.choice((0.0, 0.0, 0.05)),
            zygote_fails=random.choice((0.0, 0.0, 0.0, 0.2)),
            slow_scans=random.random() < 0.05,
            preflight=random.random() < 0.5,
            wave=random.choice((0, 1, 2)),
            kill_silent=random.random() < 0.25,
            flawed=random.choice((0.0, 0.1, 0.3)),
            rolls=random.choice((0.0, 0.3, 0.6)),
            moves=random.choice((0.0, 0.0, 0.3)),
            batch=random.choice((None, None, 1, 2)),
            surge=random.choice((None, None, 1, 2)),
            numbers=random.choice((512, 512, 12)),
            tires=random.choice((0, 0, 3)),
            stops=random.choice((None,) * 38 + (0.08, random.uniform(0.0, 4.0))),
            absent=random.choice((0.3, 0.6, 0.6, 4.5)),
            lasts=random.uniform(3.0, 5.0),
            migrates=random.random() < 0.5,
        )

    @classmethod
    def quiet(cls, workers: int = 3) -> "Plan":
        """A world in which nothing goes wrong by itself."""
        return cls(
            workers=workers,
            cutovers=0,
            loss=0.0,
            twice=0.0,
            jitter=0.004,
            fault=0.0,
            forks_fail=0.0,
            forks_mute=0.0,
            zygote_fails=0.0,
            slow_scans=False,
            preflight=False,
            wave=0,
            kill_silent=False,
            flawed=0.0,
            rolls=0.0,
            moves=0.0,
            batch=None,
            surge=None,
            numbers=512,
            tires=0,
            stops=None,
            absent=0.3,
            lasts=0.0,
            migrates=False,
        )

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.loss = self.twice = self.fault = self.flawed = 0.0
        self.forks_fail = self.forks_mute = self.zygote_fails = 0.0
        self.jitter = 0.005
        self.absent = 0.3
        self.slow_scans = False
