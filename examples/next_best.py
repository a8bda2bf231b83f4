"""The method, or the draw of the search?  python examples/next_best.py RUN_DIR DATA_DIR [ranks] [seeds]

The interval of a gain is over the final runs of the one configuration that was selected. That another search would have
selected another is not in it where a task has one split. So here the configurations ranked next by validation error
are trained afresh as well, on the same final seeds; those of rank 1 are in the run directory.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from analysis.gains import t_interval
from analysis.tables import shown
from tune_kmixup.data import prepare
from tune_kmixup.results import RunDir
from tune_kmixup.selection import final_rows, ranking
from tune_kmixup.training import train_to_end


def final_run(task, trial, data_dir):
    torch.set_num_threads(1)
    return train_to_end(task, trial, prepare(task, data_dir, test=True))


if __name__ == "__main__":
    run, data_dir = RunDir(Path(sys.argv[1])), Path(sys.argv[2])
    ranks, seeds = (int(given) for given in [*sys.argv[3:], *("3", "6")[len(sys.argv[3:]) :]])
    suite = run.suite()
    found = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for study in suite.studies:
            rows, values = run.rows(study.name), run.proposals(study.name)
            for rank, index in enumerate(ranking(rows)[:ranks], 1):
                there = {row["seed"]: row for row in final_rows(rows)} if rank == 1 else {}
                trials = [*suite.final_trials(study, index, values[index], (), 1)][:seeds]
                left = [trial for trial in trials if trial.seeds[0] not in there]
                found[study.name, rank] = (
                    [there[t.seeds[0]] for t in trials if t not in left],
                    [pool.submit(final_run, study.task, trial, data_dir) for trial in left],
                )
        for (name, rank), (rows, trained) in found.items():
            rows = [*rows, *(row for future in trained for row in future.result())]
            error = shown(t_interval([row["test_error"] for row in rows]))
            print(
                f"{name:28} rank {rank}: α {rows[0]['alpha']:.2g}, k {rows[0]['k']:2}, test error {error} %", flush=True
            )
