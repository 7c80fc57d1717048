"""The far end of a guest's bond: what a switch with a link aggregation group is, in user space.

    link-partner.py --device NAME [--vlan ID=NAME]... [--lacp] TAP TAP...

Reads and writes the bare taps of the guest's NICs (AF_PACKET) and gives what comes by any of them to one tap device
NAME, which the namespace uses like an interface of its own; frames with the tag ID (802.1Q) go to that device instead.
With --lacp it is an IEEE 802.1AX system: both ports have one system and one key, and a port carries data only while
its partner is in sync. Without it a frame goes back by the port that its receiver was last heard on.

Runs in the namespace, until its standard input ends. Prints `ready`, then a line whenever a port's state changes.
"""

import argparse
import fcntl
import os
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_AUXDATA = 263, 8
TP_STATUS_VLAN_VALID = 1 << 4
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_MAX = 65_536

SLOW_PROTOCOLS_MAC = bytes.fromhex("0180c2000002")
SLOW_PROTOCOLS = b"\x88\x09"
LACP_SUBTYPE, LACP_VERSION = 1, 1
# 802.1AX 6.4.2.3, Actor_State
ACTIVITY, SHORT_TIMEOUT, AGGREGATION, SYNC, COLLECTING, DISTRIBUTING, DEFAULTED = 1, 2, 4, 8, 16, 32, 64
INFORMATION = struct.Struct("!H6sHHHB3x")  # system priority, system, key, port priority, port, state
FAST_SECONDS = 1.0
EXPIRY_SECONDS = 3 * FAST_SECONDS
SYSTEM = bytes.fromhex("02000000ac01")
KEY = 33
NOBODY = (0, bytes(6), 0, 0, 0, 0)


class Port:
    """One tap, and what LACP knows of the NIC behind it."""

    def __init__(self, name: str, number: int, has_lacp: bool):
        silence(name)
        self.name = name
        self.number = number
        self.has_lacp = has_lacp
        self.partner = NOBODY
        self.heard_at = float("-inf")
        self.told_at = float("-inf")
        self.told = None
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.bind((name, ETH_P_ALL))
        self.socket.setblocking(False)

    def receive(self):
        """The next frame with its VLAN tag back in place, or None when there is none or it is one of ours."""
        try:
            frame, ancillary, _, address = self.socket.recvmsg(FRAME_MAX, socket.CMSG_SPACE(20))
        except BlockingIOError:
            return None
        if address[2] == socket.PACKET_OUTGOING or len(frame) < 14:
            return b""
        for level, kind, data in ancillary:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
                if status & TP_STATUS_VLAN_VALID:
                    return frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]
        return frame

    def send(self, frame: bytes):
        try:
            self.socket.send(frame)
        except OSError:
            pass  # a machine that is off has nobody behind its tap

    @property
    def state(self) -> int:
        """802.1AX 6.4: we are in sync with a partner that may be aggregated; data flows when it is in sync too."""
        if self.partner == NOBODY:
            return ACTIVITY | SHORT_TIMEOUT | AGGREGATION | DEFAULTED
        theirs = self.partner[5]
        mine = ACTIVITY | SHORT_TIMEOUT | AGGREGATION
        if theirs & AGGREGATION:
            mine |= SYNC
        if mine & SYNC and theirs & SYNC:
            mine |= COLLECTING | DISTRIBUTING
        return mine

    @property
    def carries_data(self) -> bool:
        return not self.has_lacp or bool(self.state & DISTRIBUTING)

    def hear(self, frame: bytes, now: float):
        if len(frame) < 124 or frame[14:18] != bytes([LACP_SUBTYPE, LACP_VERSION, 1, 20]) or frame[36:38] != b"\x02\x14":
            return
        self.partner = INFORMATION.unpack_from(frame, 18)
        self.heard_at = now
        said_of_us = INFORMATION.unpack_from(frame, 38)
        if said_of_us != self.information():
            self.tell(now)

    def expire(self, now: float):
        if self.has_lacp and self.partner != NOBODY and now - self.heard_at > EXPIRY_SECONDS:
            self.partner = NOBODY

    def information(self):
        return (0x8000, SYSTEM, KEY, 0x8000, self.number, self.state)

    def tell(self, now: float):
        self.told_at = now
        pdu = bytes([LACP_SUBTYPE, LACP_VERSION, 1, 20]) + INFORMATION.pack(*self.information())
        pdu += bytes([2, 20]) + INFORMATION.pack(*self.partner)
        pdu += bytes([3, 16, 0, 0]).ljust(16, b"\0") + bytes(52)
        port_mac = SYSTEM[:5] + bytes([0x10 + self.number])
        self.send(SLOW_PROTOCOLS_MAC + port_mac + SLOW_PROTOCOLS + pdu)

    def report(self):
        said = (self.state, self.partner[1].hex(":"), self.partner[2])
        if self.has_lacp and said != self.told:
            self.told = said
            print(f"{self.name} state {self.state:#04x} partner {said[1]} key {said[2]}", flush=True)


class Group:
    """The ports as one, and the devices that the namespace sees of it."""

    def __init__(self, ports, devices):
        self.ports = ports
        self.devices = devices  # VLAN id (0: untagged) -> file of a tap device
        self.seen_on = {}  # MAC -> port

    def from_guest(self, port: Port, frame: bytes, now: float):
        if frame[:6] == SLOW_PROTOCOLS_MAC:
            if port.has_lacp and frame[12:14] == SLOW_PROTOCOLS:
                port.hear(frame, now)
            return
        if not port.carries_data:
            return
        self.seen_on[frame[6:12]] = port
        vlan = 0
        if frame[12:14] == b"\x81\x00":
            vlan = struct.unpack_from("!H", frame, 14)[0] & 0xFFF
            frame = frame[:12] + frame[16:]
        device = self.devices.get(vlan)
        if device is not None:
            os.write(device, frame)

    def to_guest(self, vlan: int, frame: bytes):
        if vlan:
            frame = frame[:12] + struct.pack("!HH", 0x8100, vlan) + frame[12:]
        carriers = [port for port in self.ports if port.carries_data]
        if not carriers:
            return
        if carriers[0].has_lacp:  # any port of the group, the same for one conversation
            carriers[sum(frame[:12]) % len(carriers)].send(frame)
            return
        known = self.seen_on.get(frame[:6])
        for port in carriers if known is None else [known]:
            port.send(frame)


def silence(tap: str):
    """The kernel's own stack must not answer on a member of the group."""
    for setting, value in ((f"ipv4/conf/{tap}/arp_ignore", "8"), (f"ipv6/conf/{tap}/disable_ipv6", "1")):
        try:
            with open(f"/proc/sys/net/{setting}", "w", encoding="ascii") as file:
                file.write(value)
        except FileNotFoundError:
            pass  # no IPv6 in this kernel


def tap_device(name: str) -> int:
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return file


def run(ports, devices):
    group = Group(ports, devices)
    port_of = {port.socket.fileno(): port for port in ports}
    vlan_of = {file: vlan for vlan, file in devices.items()}
    poll = select.poll()
    for file in [0, *port_of, *vlan_of]:
        poll.register(file, select.POLLIN)
    print("ready", flush=True)
    while True:
        for file, _ in poll.poll(200):
            if file == 0:
                if not os.read(0, 4096):
                    return
            elif file in port_of:
                while (frame := port_of[file].receive()) is not None:
                    if frame:
                        group.from_guest(port_of[file], frame, time.monotonic())
            else:
                group.to_guest(vlan_of[file], os.read(file, FRAME_MAX))
        now = time.monotonic()
        for port in ports:
            port.expire(now)
            if port.has_lacp and now - port.told_at >= FAST_SECONDS:
                port.tell(now)
            port.report()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True)
    parser.add_argument("--vlan", action="append", default=[])
    parser.add_argument("--lacp", action="store_true")
    parser.add_argument("taps", nargs="+")
    options = parser.parse_args()
    devices = {0: tap_device(options.device)}
    for vlan in options.vlan:
        vlan_id, name = vlan.split("=")
        devices[int(vlan_id)] = tap_device(name)
    ports = [Port(name, index + 1, options.lacp) for index, name in enumerate(options.taps)]
    run(ports, devices)


if __name__ == "__main__":
    sys.exit(main())
