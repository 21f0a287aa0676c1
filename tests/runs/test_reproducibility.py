"""What decides results to the bit is compared, and nothing else."""

import msgspec
import pytest

from prunebench.errors import RunError
from prunebench.runs.environment import version_of
from prunebench.runs.reproducibility import check_same, check_versions, differing


def test_machines_that_compute_the_same_may_go_on(here):
    for changes in ({}, {"hardware": "another"}, {"python": "3.99"}, {"platform": "moon"}, {"seed": 7}):
        check_same("tiny-1", here, msgspec.structs.replace(here, **changes))
    newer = msgspec.structs.replace(here, versions={**here.versions, "prunebench": "9"})
    assert differing(here, newer) == {}


@pytest.mark.parametrize(
    ("changes", "found", "hint"),
    [
        ({"threads": 3}, {"threads": (2, 3)}, "Give --threads 2, or start over with --fresh"),
        ({"devices": 4}, {"devices": (1, 4)}, "Give --devices 1, or start over with --fresh"),
        ({"device": "cuda"}, {"device": ("cpu", "cuda")}, "Use what it was begun with, or start over with --fresh"),
        ({"deterministic": True}, {"deterministic": (False, True)}, "Use what it was begun with"),
        ({"versions": {"torch": "3"}}, {"torch": ("2", "3")}, "Use what it was begun with"),
    ],
)
def test_what_differs_is_named_with_both_values(changes, found, hint, here):
    now = msgspec.structs.replace(here, **changes)
    assert differing(here, now) == found
    ((name, (old, new)),) = found.items()
    with pytest.raises(RunError, match=f"Run tiny-1 was begun with {name} {old}; .* {name} {new}, .*{hint}"):
        check_same("tiny-1", here, now)


def test_versions_beside_the_usual_ones_are_to_be_those_that_are_here(here):
    def computed(**versions):
        return msgspec.structs.replace(here, versions={**here.versions, **versions})

    check_versions("tiny-1", computed(torch="0", numpy="0"))
    check_versions("tiny-1", computed(pillow=version_of("pillow")))
    with pytest.raises(RunError, match=r"computed with absent 1, pillow 0; here is absent none, pillow \d.*verify"):
        check_versions("tiny-1", computed(absent="1", pillow="0"))


def test_of_packages_that_not_every_run_needs_those_count_that_were_recorded(here):
    needs = msgspec.structs.replace(here, versions={**here.versions, "tokenizers": "1"})
    other = msgspec.structs.replace(here, versions={**here.versions, "tokenizers": "2"})
    assert differing(here, needs) == {}  # begun before it was recorded
    assert differing(needs, needs) == {}
    with pytest.raises(RunError, match="was begun with tokenizers 1; here it would go on with tokenizers 2"):
        check_same("tiny-1", needs, other)
