#!/usr/bin/env bash
# Builds the image without a registry or a daemon, then runs it as the cluster would: another user, no capability, no new
# privilege, a root file system that cannot be written, no network but its own loopback. Prints its size. About a minute.
#
#   apt-get install -y --no-install-recommends buildah mmdebstrap iproute2
#   tests/ops/image.sh [DIRECTORY]     # keeps the base image in DIRECTORY for the next time
#
# Needs root and Debian's package sources. PIP_INDEX_URL is passed on where it is set; BUILD_VOLUMES names more
# directories that the build may read (`-v` of buildah), such as a local package index.
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$(mktemp -d)}
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
image=localhost/llm-stream-proxy:check
base=localhost/debian-python:check

if ! buildah inspect --type image "$base" >"$work/base.json" 2>/dev/null; then
  sources=(/etc/apt/sources.list.d/debian.sources)
  [ -e "${sources[0]}" ] || sources=(/etc/apt/sources.list)
  [ -s "$work/base.tar" ] || mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
    bookworm "$work/base.tar" "${sources[@]}"
  container=$(buildah from scratch)
  buildah add -q "$container" "$work/base.tar" / >"$work/add.log"
  buildah commit -q --rm "$container" "$base" >"$work/commit.log"
fi

options=(-v /etc/ssl/certs:/etc/ssl/certs:ro)
for folder in ${BUILD_VOLUMES:-}; do options+=(-v "$folder:$folder:ro"); done
[ -z "${PIP_INDEX_URL:-}" ] || options+=(--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL")
[ ! -e /etc/pip.conf ] || options+=(-v /etc/pip.conf:/etc/pip.conf:ro)
buildah bud --format docker --pull-never --no-cache "${options[@]}" --build-arg "BASE=$base" \
  -t "$image" "$project" >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; exit 1; }

size() { # size IMAGE: megabytes, unpacked
  local container
  container=$(buildah from --pull-never "$1")
  du -smx "$(buildah mount "$container")" | cut -f1
  buildah rm "$container" >/dev/null
}
echo "size: $(size "$image") MB, of which the base is $(size "$base") MB (python:slim is smaller)"

buildah inspect --type image "$image" >"$work/image.json"
container=$(buildah from --pull-never "$image")
trap 'buildah rm "$container" >/dev/null' EXIT
ROOT=$(buildah mount "$container") IMAGE_JSON=$work/image.json unshare --mount --net bash -euo pipefail -c '
  ip link set lo up
  mount --bind "$ROOT" "$ROOT"
  mount -o remount,bind,ro "$ROOT"
  exec python3 "$0"' "$project/tests/ops/run_image.py"
