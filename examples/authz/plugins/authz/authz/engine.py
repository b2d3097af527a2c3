"""The engine: facts, rules and policies of one content of the plugin, and what was decided with them.

What an engine decides by never changes, except for facts that are written. Changed rules or policies are another
engine with a cache of its own: nothing that was decided by the old one is in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from authz.facts import Atoms, Facts, after
from authz.ledger import Ledger
from authz.policies import Policies
from authz.questions import Decision, Question, question
from authz.rules import Relations, Rules

MOST = 100_000
"""Answers that are kept of one epoch; with one more, all of them are forgotten."""
LONGEST = 512
"""Bytes of a query whose answer is kept: who asks decides how long it is, and is not to decide how much is kept."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What can be changed one by one.

    Attributes:
        facts: What the plugin's files state.
        rules: What follows.
        policies: What is allowed.
    """

    facts: Facts
    rules: Rules
    policies: Policies


class Known(msgspec.Struct, frozen=True):
    """What was known at one version of what is written.

    Attributes:
        version: Which.
        atoms: The facts.
        relations: What follows from them.
    """

    version: int
    atoms: Atoms
    relations: Relations


class Answers(msgspec.Struct):
    """What was answered on one epoch.

    Attributes:
        version: By which version of what is written; newer facts make it empty.
        by_query: What was asked -> what was answered.
    """

    version: int = -1
    by_query: dict[bytes, bytes] = {}


class Engine:
    """Decides.

    Args:
        parts: By which facts, rules and policies.
        ledger: What is written.
    """

    __slots__ = ("_answers", "_known", "_ledger", "_parts")

    def __init__(self, parts: Parts, ledger: Ledger) -> None:
        self._parts, self._ledger = parts, ledger
        self._answers: dict[int, Answers] = {}
        self._known = self._derived(*self._written(0, parts.facts.atoms))

    @property
    def known(self) -> Known:
        """What is known now: everything that somebody was told is written."""
        if self._ledger.size() != self._known.version:
            version, atoms = self._written(self._known.version, self._known.atoms)
            if version != self._known.version:  # behind a killed writer's half line nothing is new
                self._known = self._derived(version, atoms)
        return self._known

    def _written(self, version: int, atoms: Atoms) -> tuple[int, Atoms]:
        changes = list(self._ledger.since(version))
        return (changes[-1][0], after(atoms, (change for _, change in changes))) if changes else (version, atoms)

    def _derived(self, version: int, atoms: Atoms) -> Known:
        return Known(version, atoms, self._parts.rules.derive(atoms))

    def decide(self, epoch: int, questions: Sequence[Question]) -> list[msgspec.Raw]:
        """Answer questions, all of them by the same facts.

        Raises:
            Undecidable: One of them cannot be answered.
        """
        known = self.known
        return [msgspec.Raw(self._answer(epoch, known, each.query)) for each in questions]

    def answer(self, epoch: int, query: bytes) -> bytes:
        """Answer one question: the decision, as JSON.

        Raises:
            QuestionInvalid: It is none.
            Undecidable: It cannot be answered.
        """
        return self._answer(epoch, self.known, query)

    def _answer(self, epoch: int, known: Known, query: bytes) -> bytes:
        """Find what was answered before, or decide."""
        answers = self.answers(epoch, known.version)
        answer = answers.get(query)
        if answer is None:
            verdict = self._parts.policies.decide(question(query), known.relations)
            decision = Decision(verdict.allowed, verdict.because, epoch, known.version)
            answer = msgspec.json.encode(decision)
            if len(query) <= LONGEST:
                _keep(answers, query, answer)
        return answer

    def answers(self, epoch: int, version: int) -> dict[bytes, bytes]:
        """What was answered on an epoch by one version of what is written."""
        answers = self._answers.get(epoch)
        if answers is None:  # requests that began on the epoch before may still come, those of older ones do not pay
            latest = max(self._answers, default=epoch)
            self._answers = {each: kept for each, kept in self._answers.items() if each == latest}
            answers = self._answers[epoch] = Answers()
        if answers.version != version:
            answers.version, answers.by_query = version, {}
        return answers.by_query


def _keep(answers: dict[bytes, bytes], query: bytes, answer: bytes) -> None:
    if len(answers) >= MOST:
        answers.clear()
    answers[query] = answer
