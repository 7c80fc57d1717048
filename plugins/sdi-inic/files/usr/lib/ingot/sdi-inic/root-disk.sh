# Sourced: what the root file system is on.

# The kernel's directories of the disks (or partitions) under block device $1, through maps and arrays.
disks_under() {
	for slave in "/sys/class/block/$1/slaves/"*; do
		[ -e "$slave" ] || {
			readlink -f "/sys/class/block/$1"
			return
		}
		disks_under "${slave##*/}"
	done
}

# Those of /; nothing when it is on no block device.
root_disks() {
	device=$(readlink -f "$(findmnt -n -o SOURCE / | sed 's/\[.*//')")
	[ ! -e "/sys/class/block/${device##*/}" ] || disks_under "${device##*/}"
}

# The iSCSI sessions (session1 ...) that carry /.
root_sessions() {
	root_disks | sed -n 's|.*/\(session[0-9]*\)/target.*|\1|p' | sort -u
}

# Whether / is a multipath map, or in one.
is_multipath_root() {
	device=$(readlink -f "$(findmnt -n -o SOURCE / | sed 's/\[.*//')")
	maps=$(lsblk -n -s -o TYPE "$device" 2>/dev/null)
	case "$maps" in *mpath*) ;; *) return 1 ;; esac
}

# The portal's address of session $1.
portal_of() {
	for connection in /sys/class/iscsi_session/"$1"/device/connection*/iscsi_connection/*; do
		cat "$connection/persistent_address" 2>/dev/null
	done
}

# The interface through which address $1 is reached.
interface_to() {
	ip -o route get "$1" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p'
}
