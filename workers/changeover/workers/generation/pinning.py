"""Has this process import the application from the generation's content, if what it is to be imported with is there."""

from pathlib import Path

from changeover.workers.pinned.content import PinnedContent
from changeover.workers.pinned.distributions import Distributions
from changeover.workers.pinned.importer import pin, pinned
from changeover.workers.pinned.stamps import Stamps
from changeover.workers.plugins.artifact import get

_held: dict[str, Stamps] = {}
"""By the digest of a record that held in this process, or before it was forked: the folders as they were then."""


def pin_application(store: Path, directory: Path, artifact: str, distributions: str, since: int = 0) -> None:
    """Pin the application's modules, before any of them is imported. Blocks on the disk; does nothing the second time.

    Args:
        store: The artifact store.
        directory: The application's.
        artifact: Digest that names its content; empty leaves the modules to the disk.
        distributions: Digest that names the record of what was installed with it; empty accepts anything.
        since: The epoch that introduced the content, 0 when it is not known yet.

    Raises:
        CorruptArtifact: The content, or the record, is not in the store as it was stored.
        DistributionsDiffer: Something else is installed now.
        OtherContentPinned: This process has other content already.
    """
    if distributions and not (distributions in _held and _held[distributions].hold()):
        _require_unchanged(store, distributions)
    if not artifact:
        return
    content = pinned()
    if content is None or content.artifact != artifact:
        content = PinnedContent(artifact, str(directory), get(store, artifact))
        pin(content)
    content.epoch = content.epoch or since


def _require_unchanged(store: Path, distributions: str) -> None:
    record = Distributions.of_files(get(store, distributions))
    stamps = Stamps.of(record.sources())
    record.require_unchanged()
    if stamps.settled:
        _held[distributions] = stamps
