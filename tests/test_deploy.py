"""The files that start a cluster, checked as far as that is possible without one."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tune_kmixup.results import RunDir
from tune_kmixup.status import read

DEPLOY = Path(__file__).parent.parent / "deploy"


def test_the_cluster_file_is_what_rays_launcher_takes() -> None:
    config = yaml.safe_load((DEPLOY / "cluster.yaml").read_text())
    prepared = prepare_config(config)
    validate_config(prepared)
    assert prepared["available_node_types"]["worker"]["max_workers"] == 4
    broken = {**prepared, "max_wrokers": 1}
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(broken)


def test_the_job_for_kubernetes_is_whole() -> None:
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    assert job["spec"]["entrypoint"].startswith("tune-kmixup launch ") and "--address auto" in job["spec"]["entrypoint"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("getent") is None, reason="getent is part of glibc")
def test_the_slurm_script_with_a_stand_in_for_slurm(tmp_path: Path) -> None:
    """`srun` and `scontrol` that know one node, this machine; the rest is real."""
    host = socket.gethostname()
    stand_ins = {"scontrol": f"echo {host}", "srun": 'while [[ "$1" == --* ]]; do shift; done; exec "$@"'}
    stand_ins["tune-kmixup"] = f'exec {sys.executable} -m tune_kmixup "$@"'
    stand_ins["ray"] = f'exec {sys.executable} -m ray.scripts.scripts "$@"'
    for name, text in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": host}
    env |= {"SLURM_JOB_NUM_NODES": "1", "PYTHONPATH": str(DEPLOY.parent)}
    args = ["iris/mlp@0", "--method", "erm", "--epochs", "2", "--final-seeds", "2", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        ["bash", str(DEPLOY / "slurm.sh"), *args], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    if "already started on this node" in done.stderr:
        pytest.skip("another Ray runs on this machine, and `ray symmetric-run` stops whatever Ray it finds at its end")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(RunDir(tmp_path / "run")).studies[0].final_done == 2
