"""The published comparison: what its launches fix before their first trial."""

from pathlib import Path

import pytest

from search_spaces.comparison import CLAIM_3, COMPARISON, SENSITIVITY
from search_spaces.suites import SUITES
from search_spaces.tasks import TASKS
from tune_kmixup.core.config import from_json, to_json
from tune_kmixup.core.methods import CLAIM_METHODS
from tune_kmixup.planning.suite import build_suite


@pytest.mark.parametrize("name", [*COMPARISON, *SENSITIVITY])
def test_every_launch_can_run_and_freezes_its_expectation_and_claims(name: str, tmp_path: Path) -> None:
    draft = SUITES[name]
    suite = build_suite(draft, tmp_path)
    assert draft.expectation and from_json(to_json(suite)).expectation == draft.expectation
    assert {study.method for study in suite.studies} >= set(CLAIM_METHODS)
    assert all({"lr", "weight_decay"} <= study.space.keys() for study in suite.studies), "everything is tuned"
    splits = {study.task.outer_split for study in suite.studies}
    assert len(splits) == (draft.repeats or len(TASKS[draft.tasks[0]]))
    assert suite.claims.families["1"] == (draft.tasks if name in SENSITIVITY else tuple(FAMILY))


FAMILY = [task for draft in COMPARISON.values() for task in draft.tasks]


def test_the_launches_are_judged_together() -> None:
    assert len({draft.claims for draft in COMPARISON.values()}) == 1
    assert len(set(FAMILY)) == len(FAMILY) == len(COMPARISON)
    repeats = {draft.tasks[0]: draft.repeats for draft in COMPARISON.values()}
    assert all((repeats[task] or 0) >= 20 for task in CLAIM_3), "fewer could not decide claim 3"
