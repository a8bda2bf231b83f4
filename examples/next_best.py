"""The method, or the draw of the search?  python examples/next_best.py RUN_DIR DATA_DIR [ranks] [seeds]

The interval of a gain is over the final runs of the one configuration that was selected. That another search would have
selected another is not in it where a task has one split. So here the configurations ranked next by validation error
are trained afresh as well, on the same final seeds; those of rank 1 are in the run directory.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import torch

from tune_kmixup.analysis.gains import t_interval
from tune_kmixup.analysis.report.tables import format_estimate
from tune_kmixup.core.selection import final_rows, ranking
from tune_kmixup.data.prepare import prepare
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training.loop import train_to_end


def final_run(task, trial, data_dir):
    torch.set_num_threads(1)
    return train_to_end(task, trial, prepare(task, data_dir, test=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("ranks", type=int, nargs="?", default=3)
    parser.add_argument("seeds", type=int, nargs="?", default=6)
    options = parser.parse_args()
    run = RunDir(options.run_dir)
    suite, found = run.suite(), {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for study in suite.studies:
            rows, values = run.rows(study.name), run.proposals(study.name)
            for rank, index in enumerate(ranking(rows)[: options.ranks], 1):
                there = final_rows(rows)[: options.seeds] if rank == 1 else []
                left = suite.final_trials(study, index, values[index], {row["seed"] for row in there}, at_once=1)
                trained = [
                    pool.submit(final_run, study.task, trial, options.data_dir)
                    for trial in islice(left, options.seeds - len(there))
                ]
                found[study.name, rank] = there, trained
        for (name, rank), (there, trained) in found.items():
            rows = [*there, *(row for future in trained for row in future.result())]
            error = format_estimate(t_interval([row["test_error"] for row in rows]))
            chosen = f"α {rows[0]['alpha']:.2g}, k {rows[0]['k']:2}"
            print(f"{name:28} rank {rank}: {chosen}, test error {error} %", flush=True)
