#!/bin/sh
# Of the unpacked packages in $1 only a kernel and an initramfs are kept: $INGOT_SCRIPTS/init is all that will run.
set -eu
root=$1
version=$(cd "$root/lib/modules" && echo *)
kept=$root/kept
stage=$root/stage
mkdir -p "$kept/boot/grub" "$kept/etc" "$stage/bin" "$stage/proc" "$stage/sys" "$stage/dev" "$stage/root" "$stage/seed" \
	"$stage/etc/iscsi" "$stage/run/lock/iscsi" "$stage/var/lock/iscsi" "$stage/tmp" # the last four for iscsistart

cp "$root/bin/busybox" "$stage/bin/busybox"
for name in $("$root/bin/busybox" --list); do [ "$name" = busybox ] || ln -s busybox "$stage/bin/$name"; done

# iscsistart with the libraries that its loader finds in the unpacked packages
cp "$root/sbin/iscsistart" "$stage/bin/iscsistart"
libraries=$root/lib/x86_64-linux-gnu
loader=$root/lib64/ld-linux-x86-64.so.2
[ -e "$loader" ] || loader=$libraries/ld-linux-x86-64.so.2
mkdir -p "$stage/lib64" "$stage/lib"
cp -L "$loader" "$stage/lib64/ld-linux-x86-64.so.2"
"$loader" --library-path "$libraries:$root/usr/lib/x86_64-linux-gnu" --list "$root/sbin/iscsistart" |
	sed -n 's|.*=> \(/[^ ]*\) .*|\1|p' | while read -r library; do cp -L "$library" "$stage/lib/"; done
ln -s lib "$stage/lib64/x86_64-linux-gnu"

# modules in the order in which they are to be loaded
depmod -b "$root" "$version"
for module in virtio_pci virtio_net virtio_blk virtio_scsi nvme sd_mod crc32c_generic iscsi_tcp iscsi_ibft isofs \
	nls_utf8 evdev button; do
	modprobe -d "$root" -S "$version" --show-depends "$module"
done | sed -n "s|^insmod .*/lib/modules/|lib/modules/|p" | tr -d ' ' | awk '!seen[$0]++' >"$stage/modules"
while read -r module; do
	mkdir -p "$stage/${module%/*}"
	cp "$root/$module" "$stage/$module"
done <"$stage/modules"

cp "$INGOT_SCRIPTS/init" "$stage/init"
chmod -R u=rwX,go=rX "$stage"
chmod 755 "$stage/init"
find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$stage" && find . | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible -R 0:0) | gzip -n9 >"$kept/initrd.img"

cp "$root/boot/vmlinuz-$version" "$kept/vmlinuz"
cp "$INGOT_OVERLAY/boot/grub/grub.cfg" "$kept/boot/grub/grub.cfg"
printf 'ID=tiny\nNAME=tiny\nPRETTY_NAME=tiny\nVERSION_ID=1\n' >"$kept/etc/os-release"
: >"$kept/etc/machine-id"
echo "LABEL=$INGOT_LABEL / ext4 defaults 0 1" >"$kept/etc/fstab"
chmod -R u=rwX,go=rX "$kept"

find "$root" -mindepth 1 -maxdepth 1 ! -name kept -exec rm -rf --one-file-system {} +
mv "$kept"/* "$root/"
rmdir "$kept"
