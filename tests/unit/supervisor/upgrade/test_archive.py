"""The program that is kept runs by itself, whatever is installed."""

import os
import subprocess
import sys
from pathlib import Path

from changeover.supervisor.upgrade.archive import keep_program, path_of

RESUMED = """
import sys
sys.path.insert(0, {path!r})
from importlib.metadata import version
import changeover.plugin, changeover.server
import changeover.supervisor.service as service
from changeover.supervisor.upgrade.archive import keep_program
assert service.__file__.startswith({path!r}), service.__file__
kept = keep_program()
import os
assert os.path.samestat(os.fstat(kept), os.stat({path!r}))
print(version("changeover"))
"""


def test_what_is_kept_is_whole_and_is_kept_again_by_who_runs_it() -> None:
    archive = keep_program()
    try:
        program = RESUMED.format(path=path_of(archive))
        done = subprocess.run(
            [sys.executable, "-P", "-c", program], pass_fds=(archive,), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()[0].isdigit()
    finally:
        os.close(archive)


def test_the_launcher_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    from changeover.supervisor.upgrade import launcher

    alone = tmp_path / "launcher.py"
    alone.write_bytes(Path(launcher.__file__).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import runpy; runpy.run_path({str(alone)!r})"], timeout=60
    )
    assert done.returncode == 0
