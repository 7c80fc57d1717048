#!/bin/sh
# After the packages are in: make it an image that many machines can start. $1 = the new root, $2 = this folder.
set -eu
root=$1
recipe=$2

# Debian's own mirrors instead of those of the building host.
rm -f "$root"/etc/apt/sources.list.d/*
cp --no-preserve=ownership "$recipe/overlay/etc/apt/sources.list" "$root/etc/apt/sources.list"

# Identity is made by each server for itself.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root"/etc/ssh/ssh_host_* "$root/var/lib/systemd/random-seed"
echo localhost >"$root/etc/hostname"
cp --no-preserve=ownership "$recipe/overlay/etc/hosts" "$root/etc/hosts"
echo 'GenerateName=yes' >"$root/etc/iscsi/initiatorname.iscsi"
chmod 600 "$root/etc/iscsi/initiatorname.iscsi"

cat >"$root/etc/fstab" <<'FSTAB'
LABEL=ROOT / ext4 errors=remount-ro 0 1
FSTAB

# Names come from DHCP and the seed through resolved.
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service

# Nothing that wakes up by itself and writes to a fresh clone.
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
	e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-pstore.service

rm -rf "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/*_* "$root"/var/log/apt "$root"/var/log/*.log \
	"$root"/vmlinuz.old "$root"/initrd.img.old
