"""What network this guest has, a fact per line, NICs by their place among the MACs that are the arguments.

    nic1 in bond0 mtu 1500
    bond0 active-backup of nic1 nic2 miimon 100 mtu 1500 198.18.1.21/24
    default via 198.18.1.1 dev bond0
    dns 198.18.1.1

Link-local addresses and their routes are left out: every interface has its own.
"""

import json
import pathlib
import re
import subprocess
import sys

macs = sys.argv[1:]


def ask(*command):
    return json.loads(subprocess.run(["ip", "-j", *command], check=True, capture_output=True).stdout or "[]")


def kind_of(link):
    return link.get("linkinfo", {}).get("info_kind")


links = [link for link in ask("-d", "addr") if link.get("ifname") and link["ifname"] != "lo"]
names = {}
for link in links:
    mac = link.get("permaddr", link.get("address"))
    is_nic = kind_of(link) is None and mac in macs
    names[link["ifname"]] = f"nic{macs.index(mac)}" if is_nic else link["ifname"]


def bond(name):
    text = pathlib.Path("/proc/net/bonding", name).read_text()

    def field(key):
        found = re.search(rf"^\s*{key}: (.*)$", text, re.M)
        return found and found[1]

    mode = "802.3ad" if "802.3ad" in field("Bonding Mode") else "active-backup" if "active-backup" in text else text
    members = sorted(names.get(name, name) for name in re.findall(r"^Slave Interface: (\S+)", text, re.M))
    words = [mode, "of", *members, "miimon", field(r"MII Polling Interval \(ms\)")]
    if mode == "802.3ad":
        aggregators = set(re.findall(r"Aggregator ID: (\d+)", text))
        up = re.findall(r"^MII Status: (\S+)", text, re.M)
        words += [field("Transmit Hash Policy").split()[0], f"{field('Number of ports')} ports"]
        words += [f"{len(aggregators)} aggregator", "partner", field("Partner Mac Address")]
        words += [] if set(up) == {"up"} else ["members", *up]
    elif field("Primary Slave") not in (None, "None"):
        words += ["primary", names.get(field("Primary Slave").split()[0])]
    return words


def words_of(link):
    name, kind = link["ifname"], kind_of(link)
    words = [names[name]]
    if "master" in link:
        words += ["in", link["master"]]
    if kind == "bond":
        words += bond(name)
    elif kind == "vlan":
        words += ["vlan", str(link["linkinfo"]["info_data"]["id"]), "on", names[link["link"]]]
    elif names[name] == name:
        words += [str(kind)]
    if link.get("address", "").startswith("fa:16:3e"):
        words += ["mac", link["address"]]
    words += ["mtu", str(link["mtu"])]
    words += [] if "UP" in link["flags"] and link["operstate"] != "DOWN" else ["down"]
    wished = [a for a in link["addr_info"] if a["scope"] != "link"]
    tentative = [a["local"] for a in wished if a.get("tentative") or a.get("dadfailed")]
    addresses = [f"{a['local']}/{a['prefixlen']}" for a in wished]
    return words + sorted(addresses) + [f"{address} is no address yet" for address in tentative]


def route(found):
    target = names.get(found.get("dev"), found.get("dev"))
    via = ["via", found["gateway"]] if "gateway" in found else []
    metric = ["metric", str(found["metric"])] if found.get("metric") == 77 else []
    return " ".join([found["dst"], *via, "dev", str(target), *metric])


def resolvers():
    try:
        text = subprocess.run(["resolvectl", "dns"], check=True, capture_output=True, text=True).stdout
        return re.findall(r"(?<=[ :])[0-9a-f]*[.:][0-9a-f.:]+(?= |$)", text, re.M)
    except (FileNotFoundError, subprocess.CalledProcessError):
        text = pathlib.Path("/etc/resolv.conf").read_text()
        return re.findall(r"^nameserver (\S+)", text, re.M)


facts = {" ".join(words_of(link)) for link in links}
facts |= {route(found) for found in ask("route")}
six = [found for found in ask("-6", "route") if found.get("dev") != "lo" and found.get("type") != "unreachable"]
facts |= {route(found) for found in six if not re.match("fe80::|ff", found["dst"])}
facts |= {f"dns {address}" for address in resolvers()}
print("\n".join(sorted(facts)))
