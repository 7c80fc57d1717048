#!/bin/sh
# Usage: npm run bench -- NAME [ROUNDS]     Measures this project against a peer; the last line is one JSON object.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
name=${1:-target}
for program in cc tgtd tgtadm qemu-img qemu-storage-daemon fio; do
  command -v "$program" >/dev/null || { echo "the bench needs $program (Debian: gcc, tgt, qemu-utils, qemu-system-common, fio)" >&2; exit 2; }
done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ingot-bench
mkdir -p "$cache"
npx tsc -p tsconfig.json >&2
if [ ! -x "$cache/iscsi-load" ] || [ bench/iscsi-load.c -nt "$cache/iscsi-load" ]; then
  cc -O2 -o "$cache/iscsi-load" bench/iscsi-load.c
fi
case $name in
  target | storm | clone) exec node "dist/bench/$name.js" "$cache" ${2:+"$2"} ;;
  *) echo "no bench called $name; there are: target storm clone" >&2; exit 2 ;;
esac
