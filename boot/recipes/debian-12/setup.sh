#!/bin/sh
# Before the packages go in: what their first initramfs needs. $1 = the new root, $2 = this folder.
set -eu
root=$1
recipe=$2
cp -r --no-preserve=ownership "$recipe/overlay/." "$root/"
chown -R 0:0 "$root/etc" "$root/boot" "$root/usr/share/initramfs-tools"
# The build's own sources are in force until customize.sh.
rm -f "$root/etc/apt/sources.list"
