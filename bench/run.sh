#!/bin/sh
# Usage: npm run bench -- target     Measures this project against a peer; the last line is one JSON object.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
name=${1:-target}
for program in cc tgtd tgtadm; do
  command -v "$program" >/dev/null || { echo "the bench needs $program (Debian: gcc, tgt)" >&2; exit 2; }
done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ingot-bench
mkdir -p "$cache"
npx tsc -p tsconfig.json >&2
if [ ! -x "$cache/iscsi-load" ] || [ bench/iscsi-load.c -nt "$cache/iscsi-load" ]; then
  cc -O2 -o "$cache/iscsi-load" bench/iscsi-load.c
fi
case $name in
  target) exec node dist/bench/target.js "$cache" "${2:-3}" ;;
  *) echo "no bench called $name; there is: target" >&2; exit 2 ;;
esac
