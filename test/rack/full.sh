#!/usr/bin/env bash
# `npm run test:full`: what CI runs; then what takes too long for CI: guests (disks from tgtd, a target that dies again
# and again, where INGOT_KILLS and INGOT_SEED change kills.test.ts; data disks), 4 GiB by TFTP, a million mutated packets
# at each port, a DHCP server killed 200 times, an image with nothing of ours, images built twice; the demo with every
# firmware; the matrices of networks and of images.
set -euo pipefail
cd "$(dirname "$0")/../.."
npm test
export INGOT_FULL=1
npx tap --disable-coverage --jobs=1 --timeout=3600 test/netboot/zoo/floods.test.ts \
  test/rack/{guest-tgt,kills,data-disks,tftp-large,mutations,secure-boot,lease-kills,stock-guest,reproducible}.test.ts
for firmware in '' --uefi --native-pxe --secure-boot; do
  # shellcheck disable=SC2086  # no word at all for the first
  node dist/test/rack/demo.js $firmware
done
node dist/test/rack/matrix-network.js
node dist/test/rack/matrix-inspect.js
