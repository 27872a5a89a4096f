#!/usr/bin/env bash
# One growing trial on a GPU, whole.
#   bash benchmarks/gpu/growth_3m.sh CORPUS OUT
set -eu
corpus=$(realpath -e "${1:?CORPUS}") || exit 2
out=$(realpath -e "${2:?OUT}") || exit 2
here=$(cd "$(dirname "$0")" && pwd)
export GROWLAB_STORAGE=sqlite:///$out/growth_3m.db GROWLAB_CACHE=$out/cache GROWLAB_ARTIFACTS=$out/artifacts
growlab() { python3 -m growlab "$@"; }
growlab study run "$here/growth_3m.yaml" --device cuda --set "data.path=$corpus"
growlab report growth-3m --trial 0
rm -rf "${out:?}/artifacts" "${out:?}/cache"
