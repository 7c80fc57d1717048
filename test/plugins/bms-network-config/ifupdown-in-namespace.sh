#!/bin/sh
# Runs in a network and a mount namespace of its own: ifupdown-in-namespace.sh FOLDER SBIN PROGRAM
# FOLDER has etc/network (ifupdown's own folders) and seed; SBIN the real ifup, ifdown and ifquery.
set -eu
folder=$1 sbin=$2 program=$3
root=$folder/root
tools=$folder/tools

# The real programs know only /etc/network and /run/network: ours to write here, and gone with the namespace.
mkdir -p "$folder/over"
mount -t tmpfs none "$folder/over"
mkdir -p "$folder/over/upper" "$folder/over/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$folder/over/upper,workdir=$folder/over/work" none /etc
mount -t tmpfs none /run
mount -t sysfs none /sys
mkdir -p /run/network /etc/network/interfaces.d
for when in pre-up up down post-down; do mkdir -p "/etc/network/if-$when.d"; done

mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/sbin" "$tools"
: >"$root/etc/systemd/system/multi-user.target.wants/networking.service"
: >"$root/sbin/ifup"
mount --bind /etc/network "$(mkdir -p "$root/etc/network" && echo "$root/etc/network")"
ln -s "$(command -v ip)" "$tools/ip"
for tool in ifup ifdown ifquery; do ln -s "$sbin/$tool" "$tools/$tool"; done
export BMS_NETWORK_CONFIG_TOOLS="$tools"

ip link set lo up
ip link add agt0 address 52:54:00:00:00:01 type veth peer agt1
ip link set agt1 up
printf 'auto lo\niface lo inet loopback\nallow-hotplug agt0\niface agt0 inet dhcp\nsource /etc/network/interfaces.d/*\n' \
	>/etc/network/interfaces

agent() { # EXPECTED-CODE ARGUMENT...
	expected=$1
	shift
	code=0
	said=$(python3 "$program" "$@" --root "$root" --seed "$folder/seed" --wait 20) || code=$?
	echo "$said"
	[ "$code" = "$expected" ] || { echo "exit $code of $*, not $expected"; exit 1; }
}
state() { ip -br addr show dev agt0 | tr -s ' '; ip route show dev agt0; ip -6 route show dev agt0 default; }
says() { echo "$said" | grep -qF "$1" || { echo "it did not say: $1"; exit 1; }; }
unchanged() { [ "$(state)" = "$wished" ] || { state; echo "is not: $wished"; exit 1; }; }

agent 1 check
agent 0 apply
wished=$(state)
echo "$wished"
for part in 198.18.9.11/24 fd00:7::11/64 'default via 198.18.9.1' '10.9.0.0/16 via 198.18.9.2 metric 7' 'default via fd00:7::1'; do
	echo "$wished" | grep -qF "$part" || { echo "lacks $part"; exit 1; }
done
[ "$(cat /sys/class/net/agt0/mtu)" = 1400 ]
grep -q agt0 /etc/network/interfaces && exit 1

# Nothing to do: not one address is touched, which the kernel would tell.
ip -o monitor address link route >"$folder/events" 2>&1 &
monitor=$!
agent 0 apply
says 'nothing to do'
kill "$monitor"
! grep -q agt0 "$folder/events"

ip addr del 198.18.9.11/24 dev agt0
ip addr add 10.1.1.1/24 dev agt0
ip link set agt0 mtu 1300
agent 1 check
says 'MTU is 1300, not 1400'
says 'address 198.18.9.11/24 is gone'
says 'address 10.1.1.1/24 is not wished'
agent 0 restore
unchanged
[ "$(cat /sys/class/net/agt0/mtu)" = 1400 ]

rm -r /etc/network/*
ip link set agt0 down
agent 1 check
says '/etc/network/interfaces.d/50-ingot: missing'
agent 0 restore
unchanged

for file in /etc/network/interfaces /etc/network/interfaces.d/50-ingot; do head -c 600 /dev/urandom >"$file"; done
ip addr flush dev agt0
agent 1 check
says '/etc/network/interfaces.d/50-ingot: garbled'
agent 0 restore
unchanged
agent 0 check
echo 'all as expected'
