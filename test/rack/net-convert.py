"""Runs `cloud-init devel net-convert` for many documents in one interpreter.

usage: net-convert.py JOBS
JOBS is a JSON file: a list of {"arguments": [...], "folder": "...", "names": {MAC: NAME}}, where the names are those
that a guest's NICs have; what netplan would read in a folder is also written there as netplan.json. Prints {"version": "...", "failed": {"FOLDER": "REASON"}} as its last line.
"""
import copy
import glob
import json
import os
import sys

import yaml
from cloudinit import version
from cloudinit.cmd.main import main
from cloudinit.distros import debian
from cloudinit.net import network_state

# net-convert cuts the first letter off the netplan path of this table each time it runs.
configs = copy.deepcopy(debian.Distro.renderer_configs)
failed = {}
with open(sys.argv[1]) as jobs:
    for job in json.load(jobs):
        debian.Distro.renderer_configs = copy.deepcopy(configs)
        # In a guest, version 2 looks its NICs up; net-convert would ask the host for them.
        network_state.get_interfaces_by_mac = lambda names=job["names"]: names
        network_state.find_interface_name_from_mac = job["names"].get
        try:
            main(["cloud-init", "devel", "net-convert", *job["arguments"]])
        except (Exception, SystemExit) as err:
            failed[job["folder"]] = repr(err)
        for path in glob.glob(os.path.join(job["folder"], "etc/netplan/*.yaml")):
            os.chmod(path, 0o600)
            with open(path) as source, open(os.path.join(job["folder"], "netplan.json"), "w") as out:
                json.dump(yaml.safe_load(source)["network"], out)
print(json.dumps({"version": version.version_string(), "failed": failed}))
