"""Policies: who may do what, given what follows from the facts. They are decided by Cedar."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from cedarpy import AuthzResult, Decision, Entities, PolicySet, is_authorized

from authz.files import Invalid, shown, text
from authz.questions import Question
from authz.rules import Relations, Value

NAMED = re.compile(r'@id\s*\(\s*"((?:[^"\\]|\\.)*)"\s*\)')
PIECES = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|;|[^/";]+|.', re.DOTALL)
"""Comments, texts, and the ends of policies, apart from what is between them."""
SLOT = re.compile(r"\?\w+")
"""What makes a policy a template: Cedar decides by none that nobody filled, and says nothing of it."""
KIND = re.compile(r"[A-Za-z_]\w*(::[A-Za-z_]\w*)*", re.ASCII)
NEWLINE = "\n"


class PolicyInvalid(Invalid):
    """A policy cannot be used."""


class Undecidable(Exception):
    """A question cannot be answered as it was asked, or by what follows from the facts; says why."""


class Verdict(msgspec.Struct, frozen=True):
    """What policies say to a question.

    Attributes:
        allowed: Whether it may be done.
        because: The policies that decided, by their `@id`, sorted; none where nothing permits it.
    """

    allowed: bool
    because: list[str]


class Policies:
    """The policies of a plugin's files; immutable.

    Args:
        paths: The files.

    Raises:
        PolicyInvalid: One of them cannot be read, has a slot to be filled, has no `@id`, or shares it with another.
    """

    __slots__ = ("_set",)

    def __init__(self, paths: Sequence[Path]) -> None:
        texts = {shown(path): text(path) for path in paths}
        names: dict[str, str] = {}
        for file, written in texts.items():
            for where, policy in _each(file, written):
                name = _name(where, policy)
                if name in names:
                    raise PolicyInvalid(where, f'@id("{name}") is at {names[name]} as well')
                names[name] = where
        self._set = PolicySet.from_str("\n".join(texts.values()))

    def decide(self, question: Question, relations: Relations) -> Verdict:
        """Answer a question.

        Raises:
            Undecidable: It names what cannot be an entity, or a condition cannot be told: Cedar passes over the policy
                then, which may be the one that forbids.
        """
        request = {
            "principal": _uid(question.principal),
            "action": {"type": "Action", "id": question.action},
            "resource": _uid(question.resource),
            "context": {},
        }
        try:
            entities = Entities.from_json_str(_entities(question, relations))
        except ValueError as error:
            raise Undecidable(str(error)) from None
        result: AuthzResult = is_authorized(request, self._set, entities)
        if result.diagnostics.errors or result.decision is Decision.NoDecision:
            raise Undecidable("; ".join(result.diagnostics.errors) or "Cedar comes to no decision")
        named = result.diagnostics.id_annotations_by_reason
        return Verdict(result.allowed, sorted(named[each] for each in result.diagnostics.reasons))


def _each(file: str, written: str) -> Iterator[tuple[str, str]]:
    """The policies of a file one by one, so that it can be said which of them is wrong."""
    begin = 0
    for piece in PIECES.finditer(written):
        if piece[0] == ";":
            yield _at(file, written, begin), written[begin : piece.end()]
            begin = piece.end()
    if rest := _code(written[begin:]).strip():
        where = _at(file, written, begin)
        raise PolicyInvalid(where, f"a policy ends with `;`, and this does not: {rest.splitlines()[0]}")


def _name(where: str, policy: str) -> str:
    try:
        PolicySet.from_str(policy)
    except ValueError as error:
        raise PolicyInvalid(where, f"no Cedar policy: {' '.join(str(error).split())}") from None
    if slot := SLOT.search(_code(policy, texts=False)):
        raise PolicyInvalid(where, f"a template with the slot {slot[0]}, which nothing fills: name an entity instead")
    found = NAMED.search(_code(policy))
    if found is None:
        raise PolicyInvalid(where, 'a policy without a name: put @id("...") in front, decisions are told by it')
    return found[1]


def _at(file: str, written: str, begin: int) -> str:
    """Where the code behind a place has its first line."""
    code = _code(written[begin:])
    blank = code[: len(code) - len(code.lstrip())]
    return f"{file}:{1 + written[:begin].count(NEWLINE) + blank.count(NEWLINE)}"


def _code(written: str, texts: bool = True) -> str:
    """A text without its comments, and perhaps without the texts in it; lines stay where they are."""
    left_out = ("//",) if texts else ("//", '"')
    return "".join(piece[0] for piece in PIECES.finditer(written) if not piece[0].startswith(left_out))


def _uid(entity: str) -> dict[str, str]:
    kind, _, name = entity.rpartition("::")
    if not KIND.fullmatch(kind):
        raise Undecidable(f"{entity!r} is no entity; one is written like User::ann")
    return {"type": kind, "id": name}


def _entities(question: Question, relations: Relations) -> str:
    """Only those in question, with everything above them: rules have followed groups of groups already."""
    wanted = dict.fromkeys((question.principal, question.resource))
    return msgspec.json.encode([_entity(each, relations) for each in wanted]).decode()


def _entity(entity: str, relations: Relations) -> Mapping[str, object]:
    attributes: Mapping[str, list[Value]] = relations.attributes.get(entity, {})
    above = [_uid(other) for other in relations.above.get(entity, ())]
    return {"uid": _uid(entity), "attrs": attributes, "parents": above}
