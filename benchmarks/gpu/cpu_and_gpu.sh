#!/usr/bin/env bash
# One trial on the CPU and on the GPU, in fp32: its loss at each of the first 20 steps, and what it becomes in 300.
#   bash benchmarks/gpu/cpu_and_gpu.sh CORPUS OUT
set -eu
corpus=$(realpath -e "${1:?CORPUS}") || exit 2
out=$(realpath -e "${2:?OUT}") || exit 2
here=$(cd "$(dirname "$0")" && pwd)
export GROWLAB_STORAGE=sqlite:///$out/cpu_and_gpu.db GROWLAB_CACHE=$out/cache GROWLAB_ARTIFACTS=$out/artifacts
growlab() { python3 -m growlab "$@"; }
run_on() {
  device=$1
  train() {
    growlab study create "$here/cpu_and_gpu.yaml" --set "data.path=$corpus" --name "$@"
    growlab worker "$1" --device "$device" --threads 4
  }
  train "first-20-$device" --set budget.steps=20 --set train.eval_every=1 --set growth.trigger=never
  train "all-300-$device"
}
run_on cpu & cpu=$!
run_on cuda
wait $cpu
python3 "$here/side_by_side.py" first-20-cpu first-20-cuda --within 1e-4
python3 "$here/side_by_side.py" all-300-cpu all-300-cuda
rm -rf "${out:?}/artifacts" "${out:?}/cache"
