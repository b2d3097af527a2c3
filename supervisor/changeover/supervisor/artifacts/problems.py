"""What keeps content from becoming a candidate, as people and as the journal need it."""

from collections.abc import Iterable

import msgspec

from changeover.supervisor.config.check import ConfigError
from changeover.supervisor.core.entries import SlotRefusal
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import UnitKind, UnitRef


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong.

    Attributes:
        message: What is wrong, and what would be right.
        file: The file or folder that it is wrong in; empty when it is none.
        path: Where in the file (`$.handlers.discount.direction`); empty for all of it.
        fault: Whose fault it is.
        plugin: The plugin that it concerns; empty when it is none.
    """

    message: str
    file: str = ""
    path: str = ""
    fault: Fault = Fault.CONFIG
    plugin: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path, self.message) if part)

    def refusal(self) -> Refusal:
        """As a refusal at the scan."""
        unit = str(UnitRef(UnitKind.PLUGIN, self.plugin)) if self.plugin else ""
        return Refusal(Stage.SCAN, self.fault, str(self), unit=unit)


def of_manifest(invalid: ManifestInvalid) -> tuple[Problem, ...]:
    """Everything that is wrong with a manifest."""
    return tuple(Problem(mistake.message, invalid.file, mistake.path, Fault.CONTRACT) for mistake in invalid.mistakes)


def of_config(errors: Iterable[ConfigError]) -> tuple[Problem, ...]:
    """Everything that is wrong with the configuration."""
    return tuple(Problem(error.message, error.origin, error.path) for error in errors)


def refusals(problems: Iterable[Problem]) -> tuple[SlotRefusal, ...]:
    """As the refusals of a candidate that no worker was asked about."""
    return tuple(SlotRefusal(-1, 0, problem.refusal()) for problem in problems)
