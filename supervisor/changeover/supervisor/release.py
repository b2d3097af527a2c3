"""Which version of changeover runs: looked up as it begins, because what is installed may be another one later."""

from importlib.metadata import version

VERSION = version("changeover")
