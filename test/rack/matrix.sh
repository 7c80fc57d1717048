#!/usr/bin/env bash
# `npm run matrix -- network|inspect [ROW...]`: install what is missing, build, then try every row; the last line says
# `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/../.."
part=${1:-}
case $part in
  network | inspect) shift ;;
  *) echo 'usage: npm run matrix -- network|inspect [ROW...]' >&2; exit 2 ;;
esac
bash .ci/install-debian
[ -d node_modules/better-sqlite3/build ] || npm ci
npm run --silent build
exec node "dist/test/rack/matrix-$part.js" "$@"
