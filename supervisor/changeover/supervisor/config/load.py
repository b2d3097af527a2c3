"""Read the configuration from where it lies."""

from changeover.supervisor.config import accounts, confinement
from changeover.supervisor.config.check import Checked, judge
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.config.sources import Source, gather


def check(source: Source) -> Checked:
    """Read and judge the configuration; what `changeover check` prints. Blocks on the disk."""
    return judge(gather(source), lambda settings: [*accounts.mistakes(settings), *confinement.mistakes(settings)])


def load(source: Source) -> Settings:
    """Read the configuration.

    Raises:
        ConfigInvalid: With every error in it.
    """
    return check(source).required()
