"""Has cloud-init's own code read seeds, and writes as JSON what it understood.

usage: cloud-init-probe.py SOURCE=SCRATCH...      SOURCE: NoCloud or ConfigDrive
SCRATCH/cloud/seed/{nocloud,config_drive} holds the seed; nothing outside SCRATCH is written, the answer is in
SCRATCH/said.json. Each is read in a process of its own, as far as the phone-home module of the final stage.
"""
import base64
import copy
import json
import logging
import os
import sys
import traceback


def probe(source, scratch):
    paths = {name: os.path.join(scratch, name.split("_")[0]) for name in ("cloud_dir", "run_dir", "templates_dir")}
    config = os.path.join(scratch, "cloud.cfg")
    with open(config, "w") as out:
        json.dump(
            {
                "datasource_list": [source],
                "datasource": {"NoCloud": {"fs_label": None}},
                "system_info": {"distro": "debian", "default_user": {"name": "debian"}, "paths": paths},
            },
            out,
        )
    os.environ["CLOUD_CFG"] = config
    for path in paths.values():
        os.makedirs(path, exist_ok=True)
    init = stages.Init(ds_deps=[sources.DEP_FILESYSTEM])
    init.initialize()
    init.fetch(existing="trust")
    init.instancify()
    init.update()
    init.consume_data()
    merged = stages.ConfigMerger if hasattr(stages, "ConfigMerger") else stages.helpers.ConfigMerger
    cfg = merged(paths=init.paths, datasource=init.datasource, base_cfg={**init.cfg, "users": ["default"]}).cfg
    ds = init.datasource
    userdata = ds.get_userdata_raw()
    if "phone_home" in cfg:
        run(cc_phone_home, "phone-home", cfg, init.cloudify())
    names = ("phone_home", "runcmd", "users", "write_files", "password", "chpasswd", "ssh_pwauth")
    return {
        "source": type(ds).__name__,
        "instanceId": ds.get_instance_id(),
        "hostname": name_of(ds.get_hostname()),
        "fqdn": name_of(ds.get_hostname(fqdn=True)),
        "availabilityZone": ds.availability_zone,
        "randomSeed": (ds.metadata or {}).get("random_seed") is not None,
        "sshKeys": ds.get_public_ssh_keys(),
        "userData": base64.b64encode(userdata if isinstance(userdata, bytes) else (userdata or "").encode()).decode(),
        "config": {name: cfg[name] for name in names if name in cfg},
        "password": password_set(copy.deepcopy(cfg), init),
        "scripts": texts(init.paths.get_ipath_cur("scripts")),
        "boothooks": texts(init.paths.get_ipath_cur("boothooks")),
        "ownPhoneHome": has_line(os.path.join(init.paths.get_ipath_cur(), "cloud-config.txt"), "phone_home:"),
    }


def password_set(cfg, init):
    """What cc_set_passwords hands to chpasswd."""
    given = []
    distro = init.cloudify().distro
    distro.chpasswd = lambda users, hashed: given.append([[list(user) for user in users], hashed])
    # Up to 22.1 a function of its own, of lines.
    cc_set_passwords.chpasswd = lambda _distro, lines, hashed=False: distro.chpasswd(
        [line.split(":", 1) for line in lines.splitlines()], hashed
    )
    distro.expire_passwd = lambda user: given.append(["expired", user])
    cc_set_passwords.handle_ssh_pwauth = lambda *_, **__: None
    cloud = init.cloudify()
    cloud.distro = distro
    run(cc_set_passwords, "set-passwords", cfg, cloud)
    return given


def run(module, name, cfg, cloud):
    """A module's handler, which had a logger between the two last arguments up to 22.4."""
    takes = module.handle.__code__.co_argcount
    module.handle(*[name, cfg, cloud, *([logging.getLogger()] if takes == 5 else []), []])


def name_of(answer):
    """A host name, which was bare text up to 22.1."""
    return getattr(answer, "hostname", answer)


def texts(folder):
    return [open(os.path.join(folder, name)).read() for name in sorted(os.listdir(folder))] if os.path.isdir(folder) else []


def has_line(file, start):
    return any(line.startswith(start) for line in open(file))


# Once for all: starting takes longer than the work.
from cloudinit import sources, stages  # noqa: E402
from cloudinit.config import cc_phone_home, cc_set_passwords  # noqa: E402

for argument in sys.argv[1:]:
    source, scratch = argument.split("=", 1)
    if os.fork() == 0:
        try:
            with open(os.path.join(scratch, "said.json"), "w") as out:
                json.dump(probe(source, scratch), out)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.wait()[1] != 0:
        sys.exit("failed: " + argument)
