import io

from changeover.supervisor.cli.diagnosis.display import display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def swaps_shown_on(file: io.StringIO) -> str:
    with display(file) as shown:
        shown.begin("swaps", 2)
        shown.step()
        shown.step()
        shown.end("2/2  0.1 s each")
    return file.getvalue()


def test_each_phase_is_a_line_where_nobody_looks() -> None:
    assert swaps_shown_on(io.StringIO()) == "  swaps      2/2  0.1 s each\n"


def test_a_terminal_keeps_the_same_line() -> None:
    drawn = swaps_shown_on(Terminal())
    assert "  swaps      2/2  0.1 s each" in drawn
