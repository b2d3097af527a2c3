"""The parts of the machine, put together: each knows only those before it."""

from changeover.supervisor.core.activation import Activation
from changeover.supervisor.core.children import Children
from changeover.supervisor.core.coordinator import Coordinator
from changeover.supervisor.core.events import Booted
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.partial import Partial
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.reception import Reception
from changeover.supervisor.core.recycling import Recycling
from changeover.supervisor.core.rescue import Rescue
from changeover.supervisor.core.retirement import Retirement
from changeover.supervisor.core.roster import Roster
from changeover.supervisor.core.shutdown import Shutdown
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.upgrade import Upgrade
from changeover.supervisor.core.voting import Voting
from changeover.supervisor.core.wishes import Resolver, Wishes
from changeover.supervisor.core.writing import Writing
from changeover.supervisor.core.zygotes import Zygotes


class Parts:
    """One supervisor's parts.

    Args:
        policy: Deadlines and limits.
        booted: What the supervisor finds.
        out: Where effects go.
        resolve: Told how each wish ended.
    """

    __slots__ = (
        "activation", "children", "coordinator", "ledger", "out", "partial", "policy", "reception", "recycling",
        "rescue",
        "retirement", "roster", "shutdown", "succession", "upgrade", "wishes", "writing", "zygotes",
    )  # fmt: skip

    def __init__(self, policy: Policy, booted: Booted, out: Outbox, resolve: Resolver) -> None:
        self.policy = policy
        self.out = out
        self.ledger = Ledger(booted.recovered)
        self.roster = Roster()
        self.writing = Writing(out, policy.deadlines.persist)
        self.children = Children(policy, self.roster, self.ledger, out, booted.secret)
        self.zygotes = Zygotes(policy, self.children, out, booted.cohort)
        self.succession = Succession(self.roster, self.children, self.zygotes, self.ledger, out)
        self.retirement = Retirement(self.ledger, self.roster, out, self.writing)
        self.activation = Activation(self.roster, self.children, self.ledger, self.succession, self.retirement, out)
        self.wishes = Wishes(self.ledger, out, resolve)
        patience = policy.deadlines.zygote + policy.deadlines.boot
        self.partial = Partial(self.ledger, self.roster, self.children, self.zygotes, self.retirement, out, patience)
        self.coordinator = Coordinator(
            policy,
            self.ledger,
            Voting(self.roster, self.children, self.ledger, self.succession, out),
            self.activation,
            self.succession,
            self.wishes,
            self.writing,
            self.partial,
            out,
        )
        self.reception = Reception(
            policy,
            self.roster,
            self.children,
            self.ledger,
            self.coordinator,
            self.activation,
            self.succession,
            self.retirement,
            self.writing,
            out,
            booted.secret,
        )
        self.upgrade = Upgrade(self.coordinator, self.reception, policy.deadlines, out)
        self.recycling = Recycling(policy, self.roster, self.children, self.coordinator, out)
        self.rescue = Rescue(
            self.ledger, self.roster, self.children.crashes, self.zygotes, self.succession, self.coordinator, out
        )
        self.shutdown = Shutdown(policy, self.roster, self.children, self.zygotes, self.coordinator, out)
