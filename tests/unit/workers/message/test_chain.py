"""What an initializer registers: in order, complete, and the same each time, or refused with what would be right."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from changeover.plugin import (
    Chain,
    Channel,
    Goodbye,
    HandlerPhase,
    InitializerDescriptor,
    LineCodec,
    MessageCall,
    MessageService,
    PipelineInitializer,
    Served,
    initializer,
)
from changeover.workers.message.assembly import initializer_of
from changeover.workers.message.pipeline import MessagePipeline, configured
from changeover.workers.plugins.refused import ContractBroken
from tests.messages import pipeline_of

SECURITY, LIMIT, APP = HandlerPhase.SECURITY, HandlerPhase.LIMIT, HandlerPhase.APP


def seen(message: Any, call: MessageCall) -> None:
    return None


def sent(messages: Sequence[Any], channel: Channel) -> Sequence[Any]:
    return messages


def answer(message: Any, call: MessageCall) -> Any:
    return message


def end(chain: Chain) -> Chain:
    chain.codec(LineCodec())
    chain.service(answer)
    return chain


def refused(configure: Callable[[Chain, Served], None]) -> str:
    with pytest.raises(ContractBroken) as broken:
        pipeline_of(configure)
    return broken.value.fact


def test_a_chain_is_what_was_registered() -> None:
    def configure(chain: Chain, channel: Served) -> None:
        """Lines.

        Of text.
        """
        chain.inbound("auth", seen, phase=SECURITY)
        chain.inbound("bound", seen, phase=LIMIT, after=("auth",))
        chain.outbound("count", sent)
        chain.limits(idle=5)
        end(chain)

    made = pipeline_of(configure)
    assert (made.name, made.descriptor) == ("feed:lines", InitializerDescriptor("configure", summary="Lines."))
    assert (made.bounds.idle, made.bounds.message) == (5, 0)
    assert made.service is answer


@pytest.mark.parametrize(
    ("register", "fact"),
    [
        (lambda chain: None, "no codec"),
        (lambda chain: chain.codec(LineCodec()), "no service"),
        (lambda chain: (end(chain), chain.codec(LineCodec())), "two codecs"),
        (lambda chain: (end(chain), chain.service(answer)), "two services"),
        (lambda chain: (end(chain), chain.inbound("late", seen)), "'late' is registered behind the service"),
        (lambda chain: (chain.inbound("a", seen), chain.outbound("a", sent)), "'a' is registered twice"),
        (lambda chain: chain.inbound("a", 3), "is a int and cannot be called"),
        (lambda chain: chain.codec("utf-8"), r"chain.codec\(str\)"),
        (lambda chain: chain.service(None), r"chain.service\(NoneType\)"),
        (lambda chain: chain.limits(idle=-1), "seconds, or 0"),
        (
            lambda chain: (chain.inbound("app", seen), chain.inbound("auth", seen, phase=SECURITY), end(chain)),
            "feed:auth is of phase security and must come before feed:app of phase app",
        ),
        (
            lambda chain: (chain.inbound("b", seen, after=("a",)), chain.inbound("a", seen), end(chain)),
            "feed:a must come before feed:b, which declares `after` it",
        ),
        (
            lambda chain: (chain.outbound("b", sent), chain.outbound("a", sent, before=("b",)), end(chain)),
            "feed:a declares `before` feed:b, so it must come first",
        ),
    ],
)
def test_what_is_no_chain_is_refused(register: Callable[[Chain], Any], fact: str) -> None:
    with pytest.raises(ContractBroken, match=fact):
        pipeline_of(lambda chain, channel: register(chain))


def test_both_directions_have_an_order_of_their_own() -> None:
    def configure(chain: Chain, channel: Served) -> None:
        chain.outbound("app", sent)
        chain.inbound("auth", seen, phase=SECURITY)
        end(chain)

    assert pipeline_of(configure).service is answer


def test_an_initializer_that_registers_something_else_the_second_time_is_refused() -> None:
    numbers = itertools.count()

    def configure(chain: Chain, channel: Served) -> None:
        if next(numbers):
            chain.inbound("auth", seen, phase=SECURITY)
        end(chain)

    fact = refused(configure)
    assert fact.startswith("configure registers something else when it is called again: ")
    assert "inbound auth (security, " in fact


def test_a_handler_and_a_codec_that_are_told_otherwise_the_second_time_are_something_else() -> None:
    numbers = itertools.count(100)

    def elsewhere(chain: Chain, channel: Served) -> None:
        chain.inbound("auth", seen, phase=SECURITY, before=() if next(numbers) % 2 else ("app",))
        end(chain)

    def longer(chain: Chain, channel: Served) -> None:
        chain.codec(LineCodec(next(numbers), goodbyes={}))
        chain.service(answer)

    assert "auth (security, before app, " in refused(elsewhere)
    assert refused(longer).endswith("again: codec LineCodec with another longest")


def test_codecs_that_are_made_alike_are_the_same() -> None:
    def configure(chain: Chain, channel: Served) -> None:
        chain.codec(LineCodec(100, encoding="latin-1", goodbyes={Goodbye.IDLE: "bye"}))
        chain.service(answer)

    assert pipeline_of(configure).name == "feed:lines"


def test_closures_of_one_function_are_the_same() -> None:
    def configure(chain: Chain, channel: Served) -> None:
        chain.inbound("any", lambda message, call: None)
        chain.codec(LineCodec())
        chain.service(lambda message, call: message)

    assert pipeline_of(configure).name == "feed:lines"


def test_an_initializer_that_waits_is_refused() -> None:
    class Waits(PipelineInitializer):
        async def configure(self, chain: Chain, channel: Served) -> None:  # type: ignore[override]
            end(chain)

    with pytest.raises(ContractBroken, match="it registers, and waits for nothing"):
        configured("feed:waits", Waits(), Served(""))


def test_an_initializer_sees_where_its_connections_come_from() -> None:
    places = []

    class Lines(PipelineInitializer):
        """Lines of text."""

        def configure(self, chain: Chain, channel: Served) -> None:
            places.append(channel)
            end(chain)

    made: MessagePipeline = configured("feed:lines", Lines(), Served("unix:/run/feed", tls=True))
    assert places == [Served("unix:/run/feed", tls=True)] * 2
    assert made.descriptor == InitializerDescriptor("Lines", summary="Lines of text.")


class Telling(PipelineInitializer):
    """Says of itself what it is told to."""

    def __init__(self, said: Any) -> None:
        self._said = said

    @property
    def descriptor(self) -> InitializerDescriptor:
        told: InitializerDescriptor = self._said
        return told

    def configure(self, chain: Chain, channel: Served) -> None:
        end(chain)


def test_what_an_initializer_says_of_itself_is_words_that_fit_a_line() -> None:
    said = InitializerDescriptor("Lines\n of \udcff", "text", "so " * 100)
    told = configured("feed:lines", Telling(said), Served("")).descriptor
    assert (told.name, told.category, len(told.summary)) == ("Lines of \\udcff", "text", 200)


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ("lines", "descriptor is a str; return an InitializerDescriptor"),
        (InitializerDescriptor("lines", summary=3), "descriptor.summary is a int; give text"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_description_is_refused(said: object, fact: str) -> None:
    with pytest.raises(ContractBroken, match=fact):
        configured("feed:lines", Telling(said), Served(""))


def test_only_what_is_marked_is_an_initializer() -> None:
    def lines(chain: Chain, channel: Served) -> None:
        """Lines."""

    with pytest.raises(ContractBroken, match="initializer 'lines' is a function; write a subclass"):
        initializer_of(lines, "lines")
    assert initializer_of(initializer(lines), "lines").descriptor.summary == "Lines."


def test_a_service_without_an_answer_is_refused_as_the_initializer_makes_it() -> None:
    class Mute(MessageService):
        """It forgot to answer."""

    with pytest.raises(TypeError, match=r"abstract method '?__call__"):
        Mute()  # type: ignore[abstract]
