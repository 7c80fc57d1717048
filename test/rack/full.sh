#!/usr/bin/env bash
# `npm run test:full`: what CI runs, then the demo with every kind of firmware.
set -euo pipefail
cd "$(dirname "$0")/../.."
npm test
# A guest whose disks come from tgtd: too long for CI.
INGOT_FULL=1 npx tap --disable-coverage --timeout=900 test/rack/guest-tgt.test.ts
for firmware in '' --uefi --native-pxe; do
  # shellcheck disable=SC2086  # no word at all for the first
  node dist/test/rack/demo.js $firmware
done
