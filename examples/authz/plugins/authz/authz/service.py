"""The plugin: reads its resources, keeps the engine, and answers over HTTP."""

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from authz.datalog import DatalogInvalid
from authz.engine import Engine, Parts
from authz.facts import Change, Facts
from authz.ledger import Ledger
from authz.policies import Policies, Undecidable
from authz.questions import Question, QuestionInvalid
from authz.rules import Rules
from changeover.plugin import (
    CallContext,
    ConfigUnusable,
    Headers,
    LoadContext,
    Plugin,
    Request,
    Resource,
    Response,
    service,
)

READ: dict[str, Callable[[Sequence[Path]], Any]] = {"facts": Facts, "rules": Rules, "policies": Policies}
"""Resource -> what it is made into."""
JSON = (b"content-type", b"application/json")
NUMBERS = itertools.count(1)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plugin's configuration.

    Attributes:
        data: Folder for what is written; relative to the server's working directory.
        until: Decide by what was written up to this version, and take nothing more; None for a service.
    """

    data: str
    until: int | None = None


class Authz(Plugin[Config]):
    """One instance per worker and content; changed resources go to a copy, which shares with it what did not change."""

    def on_load(self, ctx: LoadContext) -> None:
        data = Path(self.config.data)
        if data.exists() and not data.is_dir():
            raise ConfigUnusable(f"data = {self.config.data!r} is no folder")
        self.ledger = Ledger(data / "facts.log", self.config.until)
        self.made: dict[str, int] = {}
        facts, rules, policies = (ctx.resource(name).paths for name in READ)
        self._decide_by(Parts(Facts(facts), Rules(rules), Policies(policies)), READ)

    def on_resources(self, changed: Mapping[str, Resource]) -> None:
        read = {name: READ[name](resource.paths) for name, resource in changed.items()}
        self._decide_by(dataclasses.replace(self.parts, **read), read)

    def _decide_by(self, parts: Parts, read: Iterable[str]) -> None:
        """Assign what is new: nothing that the instance that serves has is changed."""
        self.parts, self.engine = parts, Engine(parts, self.ledger)
        self.made = self.made | {name: next(NUMBERS) for name in read}

    @service
    async def decide(self, request: Request, call: CallContext) -> Response:
        """GET asks one question, POST a list of them, which are answered by the same facts."""
        try:
            if request.method == "POST":
                questions = await request.json(list[Question])
                return Response.json(self.engine.decide(call.epoch, questions))
            return Response(self.engine.answer(call.epoch, request.query), 200, Headers([JSON]))
        except (QuestionInvalid, Undecidable) as error:
            return Response.problem(400, "Not a question", str(error))

    @service
    async def facts(self, request: Request, call: CallContext) -> Response:
        """GET lists the facts, POST writes a change; every worker knows of it once it is answered."""
        if request.method != "POST":
            known = self.engine.known
            return Response.json({"version": known.version, "facts": sorted(known.atoms)})
        if self.config.until is not None:
            return Response.problem(409, "Not written", f"this service decides by version {self.config.until}")
        try:
            change = (await request.json(Change)).checked()
        except DatalogInvalid as error:
            return Response.problem(400, "Not a fact", str(error))
        return Response.json({"version": await asyncio.to_thread(self.ledger.write, change)})

    @service
    async def about(self, request: Request, call: CallContext) -> Response:
        """What decides here: the number of each part, which only a newly read one changes."""
        version = self.engine.known.version
        kept = len(self.engine.answers(call.epoch, version))
        return Response.json(
            {"worker": call.worker, "epoch": call.epoch, "facts": version, "parts": self.made, "answers": kept}
        )
