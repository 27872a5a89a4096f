#!/usr/bin/env bash
# All figures of speed, on the first GPU of this machine; those that others do not disturb, on the last.
#   bash benchmarks/gpu/speed.sh CORPUS OUT          # some twenty minutes; what is in OUT already is not measured again
# GROWLAB_ENGINE is respected by what trains whole trials. With MPS=1 NVIDIA's MPS is started for some of the trials.
set -u
corpus=$(realpath -e "${1:?CORPUS}") || exit 2
out=$(realpath -e "${2:?OUT}") || exit 2
here=$(cd "$(dirname "$0")" && pwd)
last=$(($(nvidia-smi --list-gpus | wc -l) - 1))
measure() { python3 "$here/$1.py" "$corpus" "$out/$1.jsonl" "${@:2}"; }

trial() { # a study of one trial, after a short one of its name that fills the cache on disk; then the trial's page
    local settings=(--device cuda --set "data.path=$corpus")
    GROWLAB_STORAGE=sqlite:///$out/warm-up.db python3 -m growlab study run "$here/$1.yaml" "${settings[@]}" --set "$2"
    python3 -m growlab study run "$here/$1.yaml" "${settings[@]}"
    python3 -m growlab report "${1//_/-}" --trial 0
}

first_gpu() {
    export CUDA_VISIBLE_DEVICES=0 GROWLAB_CACHE=$out/cache-first
    measure step
    measure trials --slots 1 2
    measure telemetry
    measure kernels
    if [ -n "${MPS:-}" ]; then
        if nvidia-cuda-mps-control -d; then
            measure trials --slots 2 3 --mps
            echo quit | nvidia-cuda-mps-control
        fi
    fi
}

last_gpu() {
    export CUDA_VISIBLE_DEVICES=$last GROWLAB_CACHE=$out/cache-last
    measure cold_start
    export GROWLAB_STORAGE=sqlite:///$out/speed.db GROWLAB_ARTIFACTS=$out/artifacts
    trial growth_3m budget.tokens=20e6
    trial nanogpt budget.steps=1200
    measure soak
}

if [ "$last" -gt 0 ]; then
    first_gpu > "$out/first.log" 2>&1 &
    last_gpu > "$out/last.log" 2>&1 &
    wait
else
    first_gpu 2>&1 | tee "$out/first.log"
    last_gpu 2>&1 | tee "$out/last.log"
fi
rm -rf "${out:?}"/cache-* "${out:?}"/artifacts "${out:?}"/speed.db* "${out:?}"/warm-up.db*
