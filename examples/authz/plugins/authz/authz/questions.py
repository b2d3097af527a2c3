"""What may be asked, and what is answered."""

from urllib.parse import parse_qsl, urlencode

import msgspec


class QuestionInvalid(ValueError):
    """Something was asked that is no question."""


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants to do what to what.

    Attributes:
        principal: An entity, `User::ann`.
        action: What policies call it, `read`.
        resource: An entity.
    """

    principal: str
    action: str
    resource: str

    @property
    def query(self) -> bytes:
        """How it is asked in a query."""
        return urlencode(msgspec.structs.asdict(self), safe=":").encode()


class Decision(msgspec.Struct, frozen=True):
    """An answer, and what it can be repeated with.

    Attributes:
        allowed: Whether it may be done.
        because: The policies that decided, by their `@id`; none where nothing permits it.
        epoch: Whose rules, policies and files of facts.
        facts: Up to which version of what was written.
    """

    allowed: bool
    because: list[str]
    epoch: int
    facts: int


def question(query: bytes) -> Question:
    """What a query asks: `principal=User::ann&action=read&resource=Reel::nosferatu`.

    Raises:
        QuestionInvalid: It is no question; says what is missing or too much.
    """
    try:
        fields = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        return msgspec.convert(dict(fields), Question)
    except ValueError as error:
        raise QuestionInvalid(f"ask principal=...&action=...&resource=...: {error}") from None
