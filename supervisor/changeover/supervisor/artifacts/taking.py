"""The application's content as a start finds it: stored before anything may be imported from it."""

from collections.abc import Callable

from changeover.supervisor.artifacts.scanner import Scanner
from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.paths import Paths
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.errors import SupervisorError
from changeover.workers.plugins.artifact import UnreadableArtifact
from changeover.workers.protocol.snapshot import ApplicationSpec


class ApplicationNotTaken(SupervisorError):
    """The application's content could not be read and stored, so nothing may be imported from it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the application's content cannot be taken: {reason}")


def take_application(
    settings: Settings, read_settings: Callable[[], Checked], places: Paths
) -> tuple[Scanner, ApplicationSpec | None]:
    """Make the scanner, and store the application's content. Blocks on the disk.

    Args:
        settings: The service's settings.
        read_settings: Reads them again for each scan.
        places: The service's folders.

    Raises:
        ApplicationNotTaken: The content cannot be had.
    """
    try:
        scanner = Scanner(settings, read_settings, places.store, (places.state, places.runtime))
        return scanner, scanner.store_application()
    except UnreadableArtifact as error:
        raise ApplicationNotTaken(str(error)) from error
    except OSError as error:
        raise ApplicationNotTaken(f"{error.filename or places.store}: {error.strerror}") from error
