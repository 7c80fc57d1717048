import { writeYaml } from '../yaml.js'
import { networkHook } from './network-hook.js'
import type { SeedInput } from './seed-input.js'

type VendorInput = Pick<SeedInput, 'phoneHomeUrl' | 'adminPasswordHash' | 'networkAgent'>

const PHONE_HOME_TRIES = 10
const PER_BOOT_SCRIPT = '/var/lib/cloud/scripts/per-boot/ingot-ready'

/**
 * What we have a Linux guest do, as a `#cloud-config-archive` (JSON is YAML): see {@link vendorConfig}, then say that
 * it is ready, then have its network when the seed brings a program for that. Vendor data always ranks below user
 * data: what a user says in cloud-config replaces what is said here, and nothing else of the user's is touched.
 */
export function vendorData(input: VendorInput): string {
  const parts = [
    { type: 'text/cloud-config', content: vendorConfig(input) },
    { type: 'text/cloud-boothook', content: readyHook(input.phoneHomeUrl) },
    ...(input.networkAgent === undefined ? [] : [{ type: 'text/cloud-boothook', content: networkHook() }]),
  ]
  return `#cloud-config-archive\n${JSON.stringify(parts, undefined, 2)}\n`
}

/** The cloud-config of our part: phone home, and the password of the image's default user. */
export function vendorConfig({ phoneHomeUrl, adminPasswordHash }: VendorInput): string {
  const password = {
    // Whoever the default user is: `debian` in a stock image, root in one of a bare metal cloud. cloud-init makes that
    // user with a locked password, and sets this one after it.
    password: adminPasswordHash,
    chpasswd: { expire: false },
    ssh_pwauth: true,
  }
  const config = {
    phone_home: { url: phoneHomeUrl, post: 'all', tries: PHONE_HOME_TRIES },
    ...(adminPasswordHash === undefined ? {} : password),
  }
  return `#cloud-config\n${writeYaml(config)}`
}

// A boothook runs at every boot before the per-boot scripts, which are the last stage's. cloud-init puts no vendor
// script where it looks for per-boot ones (22.4.2, handlers/shell_script_by_frequency.py), hence the hook.
function readyHook(phoneHomeUrl: string): string {
  return `#!/bin/sh
[ -d /run/cloud-init ] || exit 0
mkdir -p ${PER_BOOT_SCRIPT.slice(0, PER_BOOT_SCRIPT.lastIndexOf('/'))}
cat >${PER_BOOT_SCRIPT} <<'INGOT_SCRIPT'
${readyScript(phoneHomeUrl)}INGOT_SCRIPT
chmod 0755 ${PER_BOOT_SCRIPT}
`
}

// The semaphore is there when phone_home has run for this instance: at its first boot this script leaves the word to
// it, since it speaks last. But a user's own phone_home replaced ours, and would leave us without.
function readyScript(phoneHomeUrl: string): string {
  return `#!/bin/sh
cd /var/lib/cloud/instance || exit 0
[ -e sem/config_phone_home ] || grep -qs '^phone_home:' cloud-config.txt || exit 0
exec python3 - <<'INGOT_PYTHON'
import time, urllib.request
for _ in range(${PHONE_HOME_TRIES}):
    try:
        urllib.request.urlopen(${JSON.stringify(phoneHomeUrl)}, data=b"", timeout=10)
        break
    except OSError:
        time.sleep(3)
INGOT_PYTHON
`
}
