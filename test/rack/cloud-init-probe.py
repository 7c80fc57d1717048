"""Has cloud-init's own code read a seed, and prints as JSON what it understood.

usage: cloud-init-probe.py NoCloud|ConfigDrive SCRATCH
SCRATCH/cloud/seed/{nocloud,config_drive} holds the seed; nothing outside SCRATCH is written.
Ends with the phone-home module, run as the final stage of a boot would run it.
"""
import base64
import json
import logging
import os
import sys

source, scratch = sys.argv[1:3]
paths = {name: os.path.join(scratch, name.split("_")[0]) for name in ("cloud_dir", "run_dir", "templates_dir")}
config = os.path.join(scratch, "cloud.cfg")
with open(config, "w") as out:
    json.dump(
        {
            "datasource_list": [source],
            "datasource": {"NoCloud": {"fs_label": None}},
            "system_info": {"distro": "debian", "paths": paths},
        },
        out,
    )
os.environ["CLOUD_CFG"] = config
for path in paths.values():
    os.makedirs(path, exist_ok=True)

from cloudinit import sources, stages  # noqa: E402
from cloudinit.config import cc_phone_home  # noqa: E402

init = stages.Init(ds_deps=[sources.DEP_FILESYSTEM])
init.initialize()
init.fetch(existing="trust")
init.instancify()
init.update()
init.consume_data()
merged = stages.ConfigMerger if hasattr(stages, "ConfigMerger") else stages.helpers.ConfigMerger
cfg = merged(paths=init.paths, datasource=init.datasource, base_cfg=init.cfg).cfg
ds = init.datasource
userdata = ds.get_userdata_raw()
cc_phone_home.handle("phone-home", cfg, init.cloudify(), logging.getLogger(), [])
json.dump(
    {
        "source": type(ds).__name__,
        "instanceId": ds.get_instance_id(),
        "hostname": ds.get_hostname().hostname,
        "fqdn": ds.get_hostname(fqdn=True).hostname,
        "availabilityZone": ds.availability_zone,
        "sshKeys": ds.get_public_ssh_keys(),
        "userData": base64.b64encode(userdata if isinstance(userdata, bytes) else userdata.encode()).decode(),
        "phoneHome": cfg.get("phone_home"),
        "runcmd": cfg.get("runcmd"),
    },
    sys.stdout,
)
