#!/usr/bin/env bash
# `npm run conformance`: install what is missing, build, then run libiscsi's suite against our own target.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash .ci/install-debian
[ -d node_modules/better-sqlite3/build ] || npm ci
npm run --silent build
exec node dist/test/rack/conformance.js "$@"
