"""The GPU memory of a trial, measured before the first one, where trials run."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_kmixup.core.batched_seeds import largest_batch
from tune_kmixup.core.config import Study, Suite, Task
from tune_kmixup.core.errors import LaunchError
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning.gpu_sharing import GpuSharing, gpu_shares
from tune_kmixup.tuning.slots import EqualSlots, Slots
from tune_kmixup.tuning.worker import measure_gpu_memory, total_gpu_memory


def make_slots(
    suite: Suite, run: RunDir, data_dir: Path, plugins: Plugins, resources: Resources, batched: Collection[str]
) -> Slots:
    """How trials share the cluster. With `auto`, by measured memory, once per run directory and size of GPU memory.

    Args:
        suite: its tasks are measured.
        run: holds earlier measurements; new ones are written there.
        data_dir: folder of the data sets.
        plugins: the user's own modules.
        resources: those of a trial; a number of `gpus_per_trial` makes measuring unnecessary.
        batched: tasks whose seeds are trained together, see `planning.networks.batched_tasks`.

    Returns:
        Slots, which follow no nodes yet.

    Raises:
        BadInput: for a task whose trials do not fit on a GPU.
    """
    if resources.gpus_per_trial != "auto":
        return EqualSlots(resources.cpus_per_trial, resources.gpus_per_trial, resources.max_concurrent, nodes=())
    gpu_memory, cpus_per_gpu = smallest_gpu(plugins, resources.cpus_per_trial)
    tasks = {base: with_largest_batch(studies) for base, studies in suite.studies_by_task().items()}
    seeds = {base: largest_batch(suite) if base in batched else 1 for base in tasks}
    # Before there is a suite, the next launch may have other recipes and networks.
    measured = run.memory() if run.exists() else {}
    on_this_gpu = measured.setdefault(gpu_memory, {})
    measure = remote_function(measure_gpu_memory, resources)
    missing = {base: task for base, task in tasks.items() if seeds[base] not in on_this_gpu.get(base, {})}
    refs = {base: measure.remote(task, data_dir, plugins, resources, seeds[base]) for base, task in missing.items()}
    for base, need in collect(refs).items():
        on_this_gpu.setdefault(base, {})[seeds[base]] = need
    # A task that cannot be trained has no measurement. Its trials get a whole GPU each, and report why.
    needs = {base: on_this_gpu.get(base, {}).get(seeds[base], gpu_memory) for base in tasks}
    cpu_limit = cpus_per_gpu / resources.cpus_per_trial
    shares = gpu_shares(needs, gpu_memory, cpu_limit)
    run.write_memory(measured)
    return GpuSharing(shares, resources.cpus_per_trial, resources.max_concurrent)


def with_largest_batch(studies: Sequence[Study]) -> Task:
    """The task of these studies, with the largest batch that one of them may choose."""
    task = studies[0].task
    sizes = [int(study.distributions["batch_size"].largest) for study in studies if "batch_size" in study.distributions]
    return replace(task, recipe=replace(task.recipe, batch_size=max(task.recipe.batch_size, *sizes, 0)))


def remote_function(function: Callable[..., Any], resources: Resources) -> Any:
    """A Ray remote function with the resources of a trial, or with a whole GPU while the share is unknown.

    With a GPU, every call gets a process of its own, so that no GPU memory is left over from an earlier measurement.
    """
    gpus = resources.gpus_to_start
    return ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=gpus, max_calls=1 if gpus else 0)(function)


def collect(refs: dict[str, Any]) -> dict[str, Any]:
    """Waits for Ray's object references. Leaves out tasks that cannot be trained: their trials report why."""
    results = {}
    for base, ref in refs.items():
        try:
            results[base] = ray.get(ref)
        except ray.exceptions.RayError:
            continue
    return results


def smallest_gpu(plugins: Plugins, cpus_per_trial: float) -> tuple[int, float]:
    """The least memory of a GPU in bytes, and the fewest CPUs per GPU, over all nodes with GPUs that can run a trial.

    Assumes that the GPUs of one node are alike. Raises LaunchError if there is none any more.
    """
    alive = [(node["NodeID"], Counter(node["Resources"])) for node in ray.nodes() if node["Alive"]]
    nodes = [(name, has) for name, has in alive if has["GPU"] >= 1 and has["CPU"] >= cpus_per_trial]
    if not nodes:
        raise LaunchError("the last node with a GPU has left the cluster: wait until one is there.")
    refs = []
    for name, _ in nodes:
        on_node = NodeAffinitySchedulingStrategy(name, soft=False)
        measure = ray.remote(num_cpus=0, num_gpus=1, scheduling_strategy=on_node)(total_gpu_memory)
        refs.append(measure.remote(plugins))
    cpus_per_gpu = min(has["CPU"] / has["GPU"] for _, has in nodes)
    return min(ray.get(refs)), cpus_per_gpu
