"""Whatever a sound manifest is turned into, reading it ends with a refusal where the documents promise one."""

import itertools
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from changeover.workers.plugins.manifest_reading import ManifestInvalid, load
from tests.hostile_plugins.fuzzing import MUTATIONS, SOUND, document, mutants
from tests.hostile_plugins.oracle import fault

EACH = 20


def test_what_is_mutated_may_be_taken(tmp_path: Path) -> None:
    (tmp_path / "plugin.toml").write_bytes(document(SOUND))
    assert fault(document(SOUND)) == ""
    assert load(tmp_path).id == SOUND["id"]


@pytest.mark.parametrize("kind", MUTATIONS)
def test_what_nobody_may_take_is_refused_with_what_is_wrong(tmp_path: Path, kind: str) -> None:
    for _, manifest in itertools.islice(mutants(Random(kind), [kind]), EACH):
        (tmp_path / "plugin.toml").write_bytes(manifest)
        with pytest.raises(ManifestInvalid) as refused:
            load(tmp_path)
        assert all(refused.value.mistakes), fault(manifest)


def test_mutants_are_the_same_for_a_seed_and_no_two_of_them_alike() -> None:
    some, same = (list(itertools.islice(mutants(Random(3)), 90)) for _ in range(2))
    assert some == same
    assert Counter(kind for kind, _ in some) == dict.fromkeys(MUTATIONS, 10)
    assert len({manifest for _, manifest in some}) == 90
