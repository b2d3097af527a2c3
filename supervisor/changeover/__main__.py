"""`python -m changeover` is the command `changeover`."""

from changeover.supervisor.cli import main

main(prog_name="changeover")
