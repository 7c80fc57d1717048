"""Sends a datagram by one interface and prints what is answered, a line each: source, port and hex.

udp-ask.py INTERFACE SOURCE-PORT ADDRESS PORT HEX ANSWERS
Ends after so many answers, or with status 1 after ten seconds.
"""
import socket
import sys

interface, source_port, address, port, payload, answers = sys.argv[1:]
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
one.bind(("0.0.0.0", int(source_port)))
one.settimeout(10)
one.sendto(bytes.fromhex(payload), (address, int(port)))
try:
    for _ in range(int(answers)):
        data, (source, their_port) = one.recvfrom(65536)
        print(source, their_port, data.hex(), flush=True)
except TimeoutError:
    sys.exit(1)
