#!/bin/sh
# Before the packages go in: what their first initramfs needs. $1 = the new root; $INGOT_OVERLAY = files to put there.
set -eu
root=$1
cp -r --no-preserve=ownership "$INGOT_OVERLAY/." "$root/"
