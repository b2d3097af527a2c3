"""Repeats a decision with what the server keeps of its epoch, and says whether it comes out the same.

Usage: python replay.py --state DIR --data DIR QUERY DECISION

QUERY is what `/decide` was asked, DECISION the answer. The code, rules, policies and facts of the epoch come out of the
server's artifact store, what was written out of the ledger, up to the version that the decision names.
Exit status: 0 the same; 1 another decision; 2 the epoch is not kept.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from changeover.testing import SimulatedWorker

PLUGIN = "plugin authz"


def main(arguments: list[str]) -> int:
    """Repeat one decision."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--state", type=Path, required=True, help="the server's state directory")
    options.add_argument("--data", type=Path, required=True, help="the service's folder of what was written")
    options.add_argument("--runtime-dir", default="", help="the server's runtime directory, where it is not found")
    options.add_argument("query")
    options.add_argument("decision")
    given = options.parse_args(arguments)
    decision = json.loads(given.decision)
    artifact = artifact_of(decision["epoch"], given.runtime_dir)
    if not artifact:
        print(f"epoch {decision['epoch']} is not kept", file=sys.stderr)
        return 2
    again = repeated(given.state / "artifacts" / artifact, given.data, given.query, decision)
    print(json.dumps(again))
    return 0 if again == decision else 1


def artifact_of(epoch: int, runtime_dir: str = "") -> str:
    """The plugin's content in an epoch, as the server's artifact store names it; empty where it is not kept."""
    place = ["--runtime-dir", runtime_dir] if runtime_dir else []
    command = [sys.executable, "-m", "changeover.supervisor", "explain", str(epoch), "--json", *place]
    told = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False)
    units = json.loads(told.stdout)["units"] if told.returncode == 0 else []
    return next((str(unit["artifact"]) for unit in units if unit["unit"] == PLUGIN), "")


def repeated(artifact: Path, data: Path, query: str, decision: dict[str, Any]) -> dict[str, Any]:
    """Decide again: the same code, resources and facts, in a worker of this process."""
    config = {"data": str(data.resolve()), "until": decision["facts"]}
    with SimulatedWorker(artifact, config=config) as worker:
        again: dict[str, Any] = worker.get(f"/decide?{query}").json()
    return again | {"epoch": decision["epoch"]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
