#!/bin/bash
# One launch under Slurm, on as many nodes as are asked for:
#
#   sbatch --nodes 4 deploy/slurm.sh cifar10/preact_resnet18 --gpus-per-trial 0.5 --out /shared/cifar10
#
# What follows the script is what follows `tune-kmixup launch`. Submitted again it goes on where the time limit cut it
# off: the run directory is on the file system that the nodes share. Activate your environment before, or here.
#SBATCH --job-name=tune-kmixup
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
set -euo pipefail

read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
read -r address _ < <(getent hosts "$head")

# Whoever works on these nodes reaches Ray's port: it asks for a token that this job alone has.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

# Starts Ray on every node, runs the command on the first, and stops Ray when it has ended. Left to itself Ray would
# count the CPUs of the whole node, others' too. How the launch ended is kept in a file on the first node, where this
# script runs as well: `ray symmetric-run` ends with 1 when the Ray that it stops was its own connection (Ray 2.60).
code=$(mktemp)
echo 1 >"$code"
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$address:6379" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    bash -c 'tune-kmixup launch --address auto "$@"; echo $? >"$0"' "$code" "$@" || true
exit "$(cat "$code")"
