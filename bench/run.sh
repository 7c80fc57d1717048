#!/bin/sh
# Usage: npm run bench -- NAME [ROUNDS]     Measures this project against a peer; the last line is one JSON object.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
name=${1:-target}
case $name in
  target | storm | clone)
    client=iscsi-load
    programs='tgtd tgtadm qemu-img qemu-storage-daemon fio' packages='tgt qemu-utils qemu-system-common fio' ;;
  tftp)
    client=tftp-get
    programs='ip dnsmasq' packages='iproute2 dnsmasq-base' ;; # and in.tftpd of tftpd-hpa, where it is installed
  dhcp)
    client=dhcp-load
    programs='ip dnsmasq kea-dhcp4' packages='iproute2 dnsmasq-base kea-dhcp4-server' ;; # and perfdhcp of kea-admin, where it is installed
  boot)
    client=
    programs='ip qemu-system-x86_64 dnsmasq tgtd tgtadm tcpdump radvd sgdisk mkfs.vfat mcopy grub-mkimage'
    packages='iproute2 qemu-system-x86 dnsmasq-base tgt tcpdump radvd gdisk dosfstools mtools grub-common' ;;
  *) echo "no bench called $name; there are: target storm clone tftp dhcp boot" >&2; exit 2 ;;
esac
for program in cc $programs; do
  command -v "$program" >/dev/null || { echo "the bench needs $program (Debian: gcc $packages)" >&2; exit 2; }
done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ingot-bench
mkdir -p "$cache"
npx tsc -p tsconfig.json >&2
if [ -n "$client" ] && { [ ! -x "$cache/$client" ] || [ "bench/$client.c" -nt "$cache/$client" ]; }; then
  cc -O2 -o "$cache/$client" "bench/$client.c"
fi
exec node "dist/bench/$name.js" "$cache" ${2:+"$2"}
