"""The units that are put together of what plugins and services offer: pipelines and channels."""

from pathlib import Path

from changeover.workers.channel.selector import Use
from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.errors import ChangeoverError
from changeover.workers.generation.ready_made import ReadyMadeHandlers
from changeover.workers.generation.units import Others, Unit
from changeover.workers.message.assembly import Served, initializer_of
from changeover.workers.message.pipeline import MessagePipeline, configured
from changeover.workers.plugins.hooks import Hooks
from changeover.workers.plugins.refused import ContractBroken, Refused, Site, refusal_of
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.registry import raw_pipeline
from changeover.workers.protocol.snapshot import ChannelSpec, HandlerRef, PipelineSpec
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.handlers import Handler
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.pipeline import Pipeline


class PipelineUnit(Unit):
    """Handlers in order, and what answers behind them."""

    def __init__(self, spec: PipelineSpec, counters: Counters, ready_made: ReadyMadeHandlers) -> None:
        super().__init__(spec.key)
        self._spec = spec
        self._counters = counters
        self._ready_made = ready_made
        self._pipeline: Pipeline | None = None

    @property
    def value(self) -> Pipeline:
        if self._pipeline is None:
            raise AssertionError(f"bug: {self.key} is not prepared")
        return self._pipeline

    async def prepare(self, others: Others) -> None:
        name = self.key.ref.name
        try:
            self._pipeline = Pipeline(
                name,
                [part for ref in self._spec.handlers for part in self._parts(ref, others)],
                others.answering(self._spec.target),
                service="" if self._spec.target is None else self._spec.target.name,
                counters=self._counters,
            )
        except ChangeoverError as error:
            raise Refused(refusal_of(error, Site(Stage.LINK, str(self.key.ref)))) from None
        self.linked()
        self._note(PipelineEventKind.ASSEMBLED)

    async def activate(self) -> Refusal | None:
        self._note(PipelineEventKind.ACTIVATED)
        return None

    def drained(self) -> None:
        self._note(PipelineEventKind.DRAINED)

    def _parts(self, ref: HandlerRef, others: Others) -> tuple[Handler, ...]:
        """What a handler is in the pipeline: a ready-made one that sees in and out is two."""
        if not ref.plugin:
            return self._ready_made.parts(self.key.ref.name, ref)
        offered = others.plugin(ref.plugin).handlers
        if ref.handler not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise ContractBroken(f"plugin {ref.plugin} has no handler {ref.handler!r}; it has: {known}")
        return (offered[ref.handler],)

    async def end(self) -> Refusal | None:
        self.lifecycle.end()
        self._pipeline = None
        return None

    def _note(self, kind: PipelineEventKind) -> None:
        detail = f"{len(self._spec.handlers)} handlers, of epoch {self.key.since}"
        self._counters.observer.note(PipelineEvent(kind, self.key.ref.name, "", detail))


class ChannelUnit(Unit):
    """What comes before the first message at an address, and the raw protocols that may be spoken there.

    Attributes:
        pipelines: By the name of their initializer.
    """

    def __init__(self, spec: ChannelSpec, store: Path, hooks: Hooks, counters: Counters) -> None:
        super().__init__(spec.key)
        self.pipelines: dict[str, MessagePipeline] = {}
        self._spec = spec
        self._store = store
        self._hooks = hooks
        self._counters = counters
        self._channel: ServerChannel | None = None

    @property
    def value(self) -> ServerChannel:
        if self._channel is None:
            raise AssertionError(f"bug: {self.key} is not prepared")
        return self._channel

    async def prepare(self, others: Others) -> None:
        uses = {name: await self._selector(name, others) for name in self._spec.selectors}
        try:
            self._channel = ServerChannel(self._spec, self._store, uses)
        except (ChangeoverError, ValueError, OSError) as error:
            raise Refused(refusal_of(error, Site(Stage.LINK, str(self.key.ref)))) from None
        for name in self._spec.initializers:
            try:
                self.pipelines[name] = await self._configured(name, others)
                self.pipelines[name].count(self.key.ref.name, self._counters)
            except Exception as error:  # noqa: BLE001 - also a mistake of ours says whose `configure` it was beside
                site = Site(Stage.PREPARE, str(self.key.ref), f"initializer {name.partition(':')[2]}")
                refusal = refusal_of(error, site)
                self._note_failed(name, f"{refusal.fault.value}: {refusal.summary}")
                raise Refused(refusal) from None
        self.linked()
        self._note(PipelineEventKind.ASSEMBLED)

    async def activate(self) -> Refusal | None:
        self._note(PipelineEventKind.ACTIVATED)
        return None

    def drained(self) -> None:
        self._note(PipelineEventKind.DRAINED)

    async def _configured(self, name: str, others: Others) -> MessagePipeline:
        """Have an initializer say what is spoken; its failure is its plugin's."""
        owner, _, own = name.partition(":")
        plugin = others.plugin(owner)
        made = await plugin.initializer(own)
        served = Served(self.key.ref.name, self._spec.tls is not None, bool(self._spec.proxies))
        site = plugin.site(Stage.PREPARE, f"initializer {own}")
        return await self._hooks.beside(lambda: configured(name, initializer_of(made, own), served), site, plugin.work)

    async def _selector(self, name: str, others: Others) -> Use:
        """Have a plugin say which connections a rule is for; where that fails they are none of its."""
        owner, _, own = name.partition(":")
        asked = await others.plugin(owner).selector(own)

        def use(outcome: HandshakeOutcome) -> bool:
            try:
                matches = asked(outcome)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is its own failure
                told = f"{Fault.CRASH.value}: selector raised {type(error).__name__}{_place(error)}"
            else:
                if isinstance(matches, bool):
                    return matches
                told = f"{Fault.CONTRACT.value}: selector answered with a {type(matches).__name__}, not a bool"
            self._note_failed(name, told)
            return False

        return use

    def _note(self, kind: PipelineEventKind) -> None:
        """It happened to each of its pipelines."""
        for initializer, pipeline in self.pipelines.items():
            name = raw_pipeline(self.key.ref.name, initializer)
            detail = f"{len(pipeline.handlers)} handlers, of epoch {self.key.since}"
            self._counters.observer.note(PipelineEvent(kind, name, "", detail))

    def _note_failed(self, initializer: str, detail: str) -> None:
        self._counters.observer.note(PipelineEvent(PipelineEventKind.INITIALIZER_FAILED, "", initializer, detail))

    async def end(self) -> Refusal | None:
        self.lifecycle.end()
        self._channel = None
        self.pipelines.clear()
        return None


def _place(error: BaseException) -> str:
    """Where in a selector an error passed. Not its text: that may name the client, and each would be news."""
    frame = error.__traceback__.tb_next if error.__traceback__ else None
    return f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
