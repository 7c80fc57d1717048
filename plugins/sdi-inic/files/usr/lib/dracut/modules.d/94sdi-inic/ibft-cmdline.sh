#!/bin/sh
# Only with an iBFT: the same image then boots from a local disk without waiting for a network.
modprobe -b -q iscsi_boot_sysfs 2>/dev/null
modprobe -b -q iscsi_ibft
if [ -e /sys/firmware/ibft/initiator ] && ! getargbool 0 rd.iscsi.firmware; then
    mkdir -p /etc/cmdline.d
    echo 'rd.iscsi.firmware=1 rd.iscsi.ibft=1 rd.neednet=1 ip=ibft' >/etc/cmdline.d/50-sdi-inic.conf
fi
