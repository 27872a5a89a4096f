#!/usr/bin/env bash
# nanoGPT's setting on the first GPU of this machine, the tuned 3.55M model on the last.
#   bash benchmarks/gpu/reproduce.sh CORPUS OUT
set -u
corpus=$(realpath -e "${1:?CORPUS}") || exit 2
out=$(realpath -e "${2:?OUT}") || exit 2
here=$(cd "$(dirname "$0")" && pwd)
export GROWLAB_STORAGE=sqlite:///$out/reproduce.db GROWLAB_CACHE=$out/cache GROWLAB_ARTIFACTS=$out/artifacts
growlab() { python3 -m growlab "$@"; }
last=cuda:$(($(nvidia-smi --list-gpus | wc -l) - 1))
growlab study run "$here/nanogpt.yaml" --device cuda:0 --set "data.path=$corpus" & nanogpt=$!
growlab study run "$here/tuned_3m.yaml" --device "$last" --workers 2 --set "data.path=$corpus"; echo "tuned-3m: exit $?"
wait $nanogpt; echo "nanogpt: exit $?"
for study in nanogpt tuned-3m; do growlab report $study --format table; done
growlab report nanogpt --trial 0
for trial in 0 1; do growlab report tuned-3m --trial $trial; done
rm -rf "${out:?}/artifacts" "${out:?}/cache"
