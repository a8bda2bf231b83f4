"""Measured where trials run, before the first of them: what batched seeds gain, and how many trials fit on a GPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_kmixup.core.batched_seeds import MAX_BATCHED, Speedups, batch_sizes, largest_batch
from tune_kmixup.core.config import Suite, Task
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning.gpu_sharing import GpuSharing, gpu_shares
from tune_kmixup.tuning.worker import measure_gpu_memory, measure_speedups, total_gpu_memory


def load_or_measure_speedups(
    suite: Suite, run: RunDir, data_dir: Path, plugins: Plugins, resources: Resources
) -> Speedups:
    """What training seeds together gains per task, measured where trials run and once per run directory."""
    tasks = tasks_by_base(suite)
    if resources.batch_seeds != "auto":
        return {base: {MAX_BATCHED: float("inf")} for base in tasks if resources.batch_seeds == "on"}
    several = batch_sizes(suite) - {1}
    found = run.speedups()
    ask = remote_function(measure_speedups, resources)
    missing = {base: task for base, task in tasks.items() if base not in found and several}
    found |= gather({base: ask.remote(task, data_dir, plugins, resources, several) for base, task in missing.items()})
    run.write_speedups(found)
    return found


def plan_gpu_sharing(
    suite: Suite, run: RunDir, data_dir: Path, plugins: Plugins, resources: Resources, found: Speedups, slots: int
) -> GpuSharing:
    """How trials share the GPUs: with `auto` by the memory they need, measured once per run directory and kind of GPU.

    slots: see `Resources.slots`. Raises BadInput for a task whose trials do not fit on a GPU.
    """
    if resources.gpus_per_trial != "auto":
        return GpuSharing({}, slots)
    memory, cpus = smallest_gpu(plugins)
    tasks = tasks_by_base(suite)
    runs = {base: largest_batch(found, suite, task) for base, task in tasks.items()}
    every = run.memory()
    known = every.setdefault(memory, {})
    missing = {base: task for base, task in tasks.items() if runs[base] not in known.get(base, {})}
    ask = remote_function(measure_gpu_memory, resources)
    asked = {base: ask.remote(task, data_dir, plugins, resources, runs[base]) for base, task in missing.items()}
    for base, need in gather(asked).items():
        known.setdefault(base, {})[runs[base]] = need
    run.write_memory(every)
    # A task that cannot be trained has no need: a GPU of its own, until its trials have said why.
    needs = {base: known.get(base, {}).get(runs[base], memory) for base in tasks}
    return GpuSharing(gpu_shares(needs, memory, cpus / resources.cpus_per_trial), slots, resources.max_concurrent)


def tasks_by_base(suite: Suite) -> dict[str, Task]:
    """One task for each that differs in more than its outer split."""
    return {study.task.base: study.task for study in suite.studies}


def remote_function(function: Callable[..., Any], resources: Resources) -> Any:
    """A function with the resources of a trial, or a whole GPU where the share of one is not known yet.

    In a process of its own on a GPU, so that no memory is held over from what was measured before.
    """
    gpus = 1 if resources.gpus_per_trial == "auto" else resources.gpus_per_trial
    return ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=gpus, max_calls=1 if gpus else 0)(function)


def gather(asked: dict[str, Any]) -> dict[str, Any]:
    """What was measured, without the tasks that cannot be trained: their trials will say why."""
    found = {}
    for base, answer in asked.items():
        try:
            found[base] = ray.get(answer)
        except ray.exceptions.RayError:
            continue
    return found


def smallest_gpu(plugins: Plugins) -> tuple[int, float]:
    """The least bytes of a GPU and the fewest CPUs to a GPU over the nodes of the cluster that have any.

    The GPUs of one node are taken to be alike.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0) >= 1]
    asked = []
    for node in nodes:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked.append(ray.remote(num_cpus=0, num_gpus=1, scheduling_strategy=here)(total_gpu_memory).remote(plugins))
    cpus = min(node["Resources"].get("CPU", 0) / node["Resources"]["GPU"] for node in nodes)
    return min(ray.get(asked)), cpus
