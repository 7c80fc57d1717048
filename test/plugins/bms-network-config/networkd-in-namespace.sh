#!/bin/sh
# Runs in a network and a mount namespace of its own: networkd-in-namespace.sh PROGRAM FILES
# What systemd-networkd says of the files in FILES until it has read them all.
set -eu
mount -t tmpfs none /run
mount -t sysfs -o ro none /sys # it would wait for udev otherwise
mkdir -p /run/systemd
cp -r "$2" /run/systemd/network
chmod -R a+rX /run/systemd
mkfifo /run/said
SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console "$1" >/run/said 2>&1 &
pid=$!
while read -r line; do
	echo "$line"
	case $line in *'Enumeration completed'*) break ;; esac
done </run/said
kill "$pid"
