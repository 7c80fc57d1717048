// What stands where a plug-in for the network is installed: ours, however it was installed, and the cloud's own.
const PLUGINS = [
  '/usr/lib/ingot/plugins/bms-network-config',
  '/usr/bin/bms-network-config',
  '/usr/bin/bms-network_config',
]

// Reads one file of an ISO 9660 volume by its level 1 names (ECMA-119 §9.1): no mount, no kernel module.
const LOADER = `import struct, sys
source, path = open(sys.argv[1], "rb"), [b"INGOT", b"BMS_NETW.;1"]
def read(block, size):
    source.seek(block * 2048)
    return source.read(min(size, 1 << 20))
extent, size = struct.unpack_from("<I4xI", read(16, 2048), 158)
for name in path:
    directory, at, found = read(extent, size), 0, None
    while at < len(directory) and found is None:
        if directory[at] == 0:
            at += 2048 - at % 2048
            continue
        if directory[at + 33 : at + 33 + directory[at + 32]] == name:
            found = struct.unpack_from("<I4xI", directory, at + 2)
        at += directory[at]
    if found is None:
        sys.exit("no network agent on this volume")
    extent, size = found
with open(sys.argv[2], "wb") as agent:
    agent.write(read(extent, size))
`

/**
 * The boothook that gives an image without a plug-in its network: it takes the program from `config-2` and runs it,
 * at every boot. cloud-init (22.4) prefers the network of the initramfs to the seed's, so a system whose root disk
 * comes over iSCSI would have one NIC only. It needs blkid, timeout and Python 3, which cloud images have; it never
 * fails a boot and ends within three minutes.
 */
export function networkHook(): string {
  return `#!/bin/sh
[ -d /run/cloud-init ] || exit 0
for plugin in ${PLUGINS.join(' ')}; do
  [ -e "$plugin" ] && exit 0
done
mkdir -p /run/ingot && chmod 0700 /run/ingot || exit 0
apply() {
  volume=/dev/disk/by-label/config-2
  [ -e "$volume" ] || volume=$(timeout 20 blkid -l -o device -t LABEL=config-2)
  timeout -k 5 30 python3 - "$volume" /run/ingot/bms-network-config <<'INGOT_PYTHON' || return
${LOADER}INGOT_PYTHON
  timeout -k 5 120 python3 /run/ingot/bms-network-config apply
}
{
  echo "$(date): applying the network of the seed"
  apply || echo "$(date): failed with code $?"
} >>/var/log/ingot-network.log 2>&1 </dev/null
exit 0
`
}
