#!/bin/bash
# One launch under Slurm, on any number of nodes:
#
#   sbatch --nodes 4 deploy/slurm.sh cifar10/preact_resnet18 --gpus-per-trial 0.5 --out /shared/cifar10
#
# The arguments of this script are those of `tune-kmixup launch`. After the time limit, submit the same command again
# to continue: the run directory is on the file system that the nodes share. Activate your Python environment before
# sbatch, or in this script.
#SBATCH --job-name=tune-kmixup
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
set -euo pipefail

read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
read -r address _ < <(getent hosts "$head")

# Other users of these nodes can reach Ray's port. So Ray asks for a token that only this job has.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

# Starts Ray on every node, runs the command on the first node, and stops Ray when the command has ended. Without
# --num-cpus, Ray would use all CPUs of a node, even those of other jobs. The exit code of the launch goes through a
# file on the first node, where this script runs too: `ray symmetric-run` itself exits with 1 if it stops the Ray that
# it is connected to (Ray 2.60).
code=$(mktemp)
echo 1 >"$code"
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$address:6379" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    bash -c 'tune-kmixup launch --address auto "$@"; echo $? >"$0"' "$code" "$@" || true
exit "$(cat "$code")"
