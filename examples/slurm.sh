#!/bin/bash
#SBATCH --job-name=claims
#SBATCH --array=1-16
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --output=claims-%A_%a.log
# One task of a job array: measures its part of the images and judges nothing. What is passed to the
# script goes to pytest. PARTS is how many parts there are, also where only some tasks are run again:
# sbatch --array=3,7 examples/slurm.sh ...
set -euo pipefail
exec python -m pytest claims/neo2025 -m gpu \
    --vlm-shard "$SLURM_ARRAY_TASK_ID/${PARTS:-16}" "$@"
