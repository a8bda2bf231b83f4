"""A run directory that is finished without any training."""

from tests.helpers.suites import made_up_rows
from tune_kmixup.core.config import Suite
from tune_kmixup.store.run_dir import RunDir

VALUES = {"alpha": 1.0, "log2_k": 2, "lr": 0.1, "weight_decay": 1e-4}  # of every configuration


def filled(run: RunDir, suite: Suite, finals: bool = True) -> RunDir:
    """A run directory whose runs are all done; nothing was trained."""
    run.write_suite(suite)
    for study in suite.studies:
        values = {name: VALUES[name] for name in study.space}
        for index in range(suite.trial_count(study)):
            run.write_proposal(study.name, index, values)
            trial = suite.search_trial(study, index, values)
            run.write_rows(trial, made_up_rows(suite, trial))
        for trial in suite.final_trials(study, 0, values, (), 2) if finals else ():
            run.write_rows(trial, made_up_rows(suite, trial))
    return run
