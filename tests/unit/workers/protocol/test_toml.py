"""TOML is read within bounds, and what exceeds them says so before it can do harm."""

import random
import resource
import tomllib

import pytest

from changeover.workers.protocol.toml import DEEPEST, MOST_PARTS, NoToml, loads

LONG = ".".join("a" * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG} = 1",
        f"[{LONG}]",
        f"[[{LONG}]]",
        f"x = {{ {LONG} = 1 }}",
        f"x = {{ b = 1, {LONG} = 1 }}",
        ".".join(['"a"'] * 100_000) + " = 1",
        " . ".join(["'a'"] * 100_000) + " = 1",
        f'x = """\\"""" # and on\n{LONG} = 1',
        f'x = ["""a"""", """b"""]\n{LONG} = 1',
        f"x = {{s = '''a'''', {LONG} = 1}}",
        f"x = ['''a''''', '''b'''] # c\n{LONG} = 1",
    ],
)
def test_a_key_of_endless_parts_costs_no_memory(text: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(NoToml, match=rf"^a key has more than {MOST_PARTS} parts \(at line \d\)$"):
        loads(text)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_the_line_of_such_a_key_is_told() -> None:
    with pytest.raises(NoToml, match=r"at line 3"):
        loads(f"a = 1\nb = 2\n{LONG} = 3")


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * MOST_PARTS) + " = 1",
        f"x = [{', '.join(['1.5'] * 1000)}]",
        f"x = '{'a.' * 1000}'",
        f'x = "{"a." * 1000}\\"{"a." * 1000}"',
        f'x = """\n{"a." * 1000}""{"a." * 1000}\\""" """',
        f"x = '''\n{'a.' * 1000}''{'a.' * 1000}'''",
        f"x = 1 # {'a.' * 1000}",
        f'"{"a." * 1000}" = 1',
        "\n".join(f"a{number}.b.c = 1" for number in range(1000)),
        'x = ""\ny = \'\'\nz = """"""\n',
        f'x = [""""{"a." * 1000}"""", """"""", """""""", "{"a." * 1000}"]',
        f"x = [''''{'a.' * 1000}'''', ''''''', '''''''', '{'a.' * 1000}']",
    ],
)
def test_what_people_write_is_read_as_ever(text: str) -> None:
    assert loads(text) == tomllib.loads(text)


PIECES = ('"', "'", "\\\\", '\\"', "\\n", "\n", ".", "a", "=", "[", "}", "#", ", ")


def strings(seed: int, wanted: int) -> list[str]:
    """Strings as TOML has them, of quotes and whatever else means something there."""
    chosen, found = random.Random(seed), list[str]()
    while len(found) < wanted:
        quote = chosen.choice(['"', "'", '"""', "'''"])
        text = quote + "".join(chosen.choices(PIECES, k=chosen.randrange(8))) + quote
        text += quote[0] * chosen.randrange(3) if len(quote) == 3 else ""
        try:
            parsed = tomllib.loads(f"x = [{text}]")["x"]
        except tomllib.TOMLDecodeError:
            continue
        if len(parsed) == 1 and isinstance(parsed[0], str):
            found.append(text)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_whatever_a_string_ends_in_the_keys_behind_it_are_counted(seed: int) -> None:
    texts = strings(seed, 300)
    allowed, too_long = (".".join(["a"] * parts) for parts in (MOST_PARTS, MOST_PARTS + 1))
    for first, second in zip(texts, reversed(texts), strict=True):
        for form in ("x = [{0}, {1}]\n{2} = 1", "x = {{s = {0}, t = {1}, {2} = 1}}", "x = {0} # c\ny = {1}\n[{2}]"):
            text = form.format(first, second, allowed)
            assert loads(text) == tomllib.loads(text), text
            with pytest.raises(NoToml, match=r"^a key has more than"):
                loads(form.format(first, second, too_long))


@pytest.mark.parametrize("text", ['"""' + '\\"""' * 100_000, "'''" * 99_999 + "'", '"' * 100_001, '"\\' * 100_000])
def test_quotes_without_end_take_no_time(text: str) -> None:
    with pytest.raises(NoToml):
        loads(f"x = {text}")


@pytest.mark.parametrize("text", [f"x = {'[' * 100_000}", f"x = {'{a=' * 100_000}", "x =", "\0"])
def test_whatever_else_is_no_toml_says_so(text: str) -> None:
    with pytest.raises(NoToml):
        loads(text)


@pytest.mark.parametrize("value", ["9" * 5000, f"[1, -{'9' * 5000}]"])
def test_a_number_without_end_is_refused(value: str) -> None:
    with pytest.raises(NoToml, match=r"^a number has more than 4300 digits$"):
        loads(f"x = {value}")


def test_what_is_nested_too_deep_is_refused_where_the_reader_would_take_it() -> None:
    assert loads(f"x = {'[' * (DEEPEST - 1)}{']' * (DEEPEST - 1)}")
    with pytest.raises(NoToml, match=f"^tables or lists are in each other, more than {DEEPEST} deep$"):
        loads(f"x = {'[' * DEEPEST}{']' * DEEPEST}")
