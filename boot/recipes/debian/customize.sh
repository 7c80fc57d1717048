#!/bin/sh
# After the packages are in: make it an image that many machines can start. $1 = the new root, $INGOT_OVERLAY = files
# to put there, $INGOT_SUITE, $INGOT_NETWORK and $INGOT_LABEL = the recipe's.
set -eu
root=$1
cp -r --no-preserve=ownership "$INGOT_OVERLAY/." "$root/"

# Debian's own mirrors instead of those of the building host.
rm -f "$root"/etc/apt/sources.list.d/*
cat >"$root/etc/apt/sources.list" <<SOURCES
deb http://deb.debian.org/debian $INGOT_SUITE main
deb http://deb.debian.org/debian $INGOT_SUITE-updates main
deb http://deb.debian.org/debian-security $INGOT_SUITE-security main
SOURCES

echo localhost >"$root/etc/hostname"
echo "LABEL=$INGOT_LABEL / ext4 errors=remount-ro 0 1" >"$root/etc/fstab"

case $INGOT_NETWORK in
netplan | networkd)
	# Names come from DHCP and the seed through resolved.
	ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
	chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service
	;;
ifupdown | networkmanager)
	: >"$root/etc/resolv.conf"
	chroot "$root" systemctl --quiet disable systemd-networkd.service
	;;
esac

# Nothing that wakes up by itself and writes to a fresh clone.
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
	e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-pstore.service

rm -rf "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/*_* "$root"/var/log/apt "$root"/var/log/*.log \
	"$root"/vmlinuz.old "$root"/initrd.img.old "$root"/var/cache/ldconfig/aux-cache
# Identity is made by each server for itself.
sh "$INGOT_CLEAN" --root "$root" >/dev/null
