#!/bin/bash
# dracut module: a root disk over the network, as the firmware logged in to it.

check() {
    require_binaries iscsistart || require_binaries iscsid || return 1
    return 0
}

depends() {
    echo iscsi
}

installkernel() {
    # any machine of the rack may start this disk
    hostonly='' instmods iscsi_tcp iscsi_ibft crc32c virtio_pci virtio_net virtio_blk virtio_scsi nvme
    hostonly='' instmods =drivers/net/ethernet
}

install() {
    inst_binary iscsistart
    inst_rules 60-ingot-iscsi.rules
    # before 90: iscsi's own hook reads what this one says
    inst_hook cmdline 80 "$moddir/ibft-cmdline.sh"
}
