"""What people write is read whole: every mistake is told at once, with its path."""

import enum
from typing import Any, Literal

import msgspec
import pytest

from changeover.workers.protocol.document import Mistake, Text, duration, nearest, read, size


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Wheel(msgspec.Struct):
    size: int
    colour: Colour = Colour.RED


class Car(msgspec.Struct):
    name: str
    wheels: tuple[Wheel, ...] = ()
    parts: dict[str, Wheel] = {}
    idle: float = 1.0
    doors: int | Literal["many"] = 4
    spare: Wheel | None = None
    extra: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    electric: bool = False


def mistakes_in(raw: object) -> list[str]:
    mistakes: list[Mistake] = []
    assert read(raw, Car, mistakes) is None
    return [str(mistake) for mistake in mistakes]


def test_a_sound_document_is_read_into_its_struct() -> None:
    mistakes: list[Mistake] = []
    raw = {
        "name": "beetle",
        "wheels": [{"size": 15, "colour": "green"}],
        "idle": "2m",
        "doors": "many",
        "extra": {"a": 1},
    }
    car = read(raw, Car, mistakes)
    assert mistakes == []
    assert car == Car("beetle", (Wheel(15, Colour.GREEN),), {}, 120.0, "many", None, {"a": 1})


def test_all_mistakes_are_told_at_once_each_with_its_path() -> None:
    raw = {
        "nam": "x",
        "wheels": [{"size": 15}, {"size": "big", "colour": "grene"}],
        "parts": {"left door": {"size": 1.5}, "right": 3},
        "idle": -1,
        "doors": "some",
        "spare": {"siz": 3},
    }
    assert mistakes_in(raw) == [
        "$.nam: unknown key; did you mean `name`?",
        "$.wheels[1].size: 'big' is not a whole number",
        "$.wheels[1].colour: 'grene' is not one of red, green; did you mean `green`?",
        '$.parts."left door".size: 1.5 is not a whole number',
        "$.parts.right: 3 is not a table",
        "$.idle: -1 is no duration: write seconds, or a number with ms, s, m, h or d (`30s`)",
        "$.doors: 'some' is not a whole number or `many`",
        "$.spare.siz: unknown key; did you mean `size`?",
        "$.spare.size: missing, and it has no default",
        "$.name: missing, and it has no default",
    ]


def test_a_document_that_is_no_table_is_a_mistake_at_its_root() -> None:
    assert mistakes_in([1]) == ["$: a list is not a table"]
    assert mistakes_in({"name": "x", "wheels": {}}) == ["$.wheels: a table is not a list"]


def test_mistakes_of_others_do_not_make_a_sound_part_unreadable() -> None:
    mistakes = [Mistake("$", "from elsewhere")]
    assert read({"size": 3}, Wheel, mistakes) == Wheel(3)


def test_what_arrives_as_text_is_read_as_what_it_is_for() -> None:
    mistakes: list[Mistake] = []
    raw = {"name": Text("7"), "idle": Text("30s"), "doors": Text("5"), "tags": Text("a, b"), "electric": Text("true")}
    assert read(raw, Car, mistakes) == Car("7", idle=30.0, doors=5, tags=("a", "b"), electric=True)
    assert mistakes == []


def test_text_in_a_file_is_not_taken_for_a_number() -> None:
    assert mistakes_in({"name": "x", "doors": "5"}) == ["$.doors: '5' is not a whole number or `many`"]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(0, 0.0), (1.5, 1.5), ("250ms", 0.25), ("30", 30.0), ("5 m", 300.0), ("1h", 3600.0), ("2d", 172800.0)],
)
def test_durations_are_seconds_or_have_a_unit(written: object, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "s", "-1s", "5 minutes", -0.1, True, None, float("inf"), float("nan"), "1h30m"]
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0),
        (80_000_000, 80_000_000),
        ("1000000", 1_000_000),
        ("512B", 512),
        ("80MB", 80_000_000),
        ("80 MiB", 80 * 2**20),
        (" 64 kb ", 64_000),
        ("64KiB", 65_536),
        ("1.5GiB", 3 * 2**29),
        ("1GB", 10**9),
        ("2TiB", 2 * 2**40),
        ("1TB", 10**12),
        (Text("80MB"), 80_000_000),
        (-1, -1),
    ],
)
def test_sizes_are_bytes_or_have_a_unit(written: object, expected: int) -> None:
    assert size(written) == expected


@pytest.mark.parametrize(
    "written",
    ["", "MB", "80M", "80Mi", "80 megabytes", "1.5", "1.5B", "1MB2", 1.5, 1e9, True, None, 2**63, "9999999999TB"],
)
def test_what_is_no_size_is_refused_with_what_would_be_one(written: object) -> None:
    with pytest.raises(ValueError, match=r"is no size: write bytes, .* MB, .* \(powers of 1000\), .* MiB"):
        size(written)


def test_nothing_is_suggested_for_a_word_that_is_like_none() -> None:
    assert nearest("xyz", ["name", "bind"]) == ""
