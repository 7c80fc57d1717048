"""Runs a program with UDP sockets that are bound to one interface each, as systemd's BindToDevice= does.

with-sockets.py NAME=INTERFACE:PORT... -- PROGRAM ARGUMENT...
"""
import os
import socket
import sys

end = sys.argv.index("--")
names = []
for fd, wish in enumerate(sys.argv[1:end], start=3):
    name, _, place = wish.partition("=")
    interface, _, port = place.partition(":")
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    one.bind(("0.0.0.0", int(port)))
    if one.fileno() == fd:
        os.set_inheritable(fd, True)
        one.detach()
    else:
        os.dup2(one.fileno(), fd, inheritable=True)
    names.append(name)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
program = sys.argv[end + 1:]
os.execvp(program[0], program)
