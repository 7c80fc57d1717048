#!/usr/bin/env python3
"""Opens ports 67 and 4011 on each interface as ingot-dhcp@.socket and ingot-pxe@.socket do, and executes a program
with them. Usage: inherited-sockets.py INTERFACE... -- PROGRAM [ARGUMENT...]"""
import fcntl
import os
import socket
import sys

split = sys.argv.index("--")
interfaces, command = sys.argv[1:split], sys.argv[split + 1:]
names, opened = [], []
for interface in interfaces:
    for name, port in (("dhcp", 67), ("pxe", 4011)):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.bind(("0.0.0.0", port))
        names.append(f"{name}-{interface}")
        opened.append(one)
# out of the way first: a socket may have the number that another is to get
high = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100) for one in opened]
for number, descriptor in enumerate(high, start=3):
    os.dup2(descriptor, number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=":".join(names))
os.execvp(command[0], command)
