"""Has cloud-init's own data sources read a seed, and prints as JSON what each understood, a line for each.

usage: datasource-probe.py SOURCE=SCRATCH...
SOURCE: NoCloud or ConfigDrive (SCRATCH/cloud/seed/{nocloud,config_drive} holds the seed), or over HTTP OpenStack, Ec2,
Ec2-with-tokens (as on Amazon's machines), NoCloud-local and NoCloud-net (`ds=nocloud` and `ds=nocloud-net` on the
kernel command line). Nothing outside SCRATCH is written. For OpenStack this must be process 1 with
product_name="OpenStack Nova" in its environment.
"""
import base64
import json
import os
import sys
import traceback

from cloudinit import sources, stages
from cloudinit.sources import DataSourceEc2

URL = "http://169.254.169.254"
FROM_DISK = ("NoCloud", "ConfigDrive")


def prepare(source, scratch):
    waits = {"timeout": 10, "max_wait": 10, "retries": 0, "metadata_urls": [URL]}
    paths = {name: os.path.join(scratch, name.split("_")[0]) for name in ("cloud_dir", "run_dir", "templates_dir")}
    config = {
        "datasource_list": [source.split("-")[0]],
        "datasource": {"OpenStack": waits, "Ec2": {**waits, "strict_id": False}, "NoCloud": {"fs_label": None}},
        "system_info": {"distro": "debian", "paths": paths},
    }
    os.environ["CLOUD_CFG"] = os.path.join(scratch, "cloud.cfg")
    with open(os.environ["CLOUD_CFG"], "w") as out:
        json.dump(config, out)
    for path in paths.values():
        os.makedirs(path, exist_ok=True)
    names = {"NoCloud-local": "nocloud", "NoCloud-net": "nocloud-net"}
    seed = f" ds={names[source]};s={URL}/nocloud/" if source in names else ""
    os.environ["DEBUG_PROC_CMDLINE"] = f"root=/dev/sda1 ro{seed}"
    if source == "Ec2-with-tokens":
        DataSourceEc2.identify_platform = lambda: DataSourceEc2.CloudNames.AWS


def text(value):
    return base64.b64encode(value if isinstance(value, bytes) else (value or "").encode()).decode()


def probe(source):
    deps = [sources.DEP_FILESYSTEM] + ([] if source in FROM_DISK else [sources.DEP_NETWORK])
    init = stages.Init(ds_deps=deps)
    init.initialize()
    init.fetch(existing="trust")
    ds = init.datasource
    metadata = ds.metadata or {}
    return {
        "source": type(ds).__name__,
        "instanceId": ds.get_instance_id(),
        "hostname": ds.get_hostname(fqdn=True).hostname,
        "sshKeys": ds.get_public_ssh_keys(),
        "userData": text(ds.get_userdata_raw()),
        "vendorData": text(ds.get_vendordata_raw()),
        "network": ds.network_config,
        "availabilityZone": ds.availability_zone,
        "launchIndex": metadata.get("launch_index", ds.launch_index),
        "randomSeed": text(metadata.get("random_seed")),
        "hasToken": getattr(ds, "_api_token", None) is not None,
    }


# Each in a process of its own: cloud-init keeps much in its modules.
for argument in sys.argv[1:]:
    source, scratch = argument.split("=", 1)
    if os.fork() == 0:
        try:
            prepare(source, scratch)
            print(json.dumps(probe(source)), flush=True)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.wait()[1] != 0:
        sys.exit("failed: " + argument)
