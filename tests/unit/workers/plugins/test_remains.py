"""What outlives its modules is told of the content that it was of."""

import gc
from pathlib import Path

from changeover.workers.plugins.modules import PluginModules
from changeover.workers.plugins.remains import Remains, look_for_classes


def opened_and_closed(root: Path) -> tuple[type, Remains]:
    """A class of a content that is closed again, each time under the same number."""
    modules = PluginModules("pricing", "_1", root, {"p.py": b"class Kept: pass"})
    modules.open()
    kept: type = modules.import_module("p").Kept
    return kept, modules.close()


def test_a_class_is_not_taken_for_one_of_the_same_content_that_was_opened_again(tmp_path: Path) -> None:
    kept, left = opened_and_closed(tmp_path)
    _, remains = opened_and_closed(tmp_path)
    del _
    gc.collect()
    look_for_classes([left, remains])
    assert (left.classes(), remains.classes(), remains.gone) == ([kept], [], True)
