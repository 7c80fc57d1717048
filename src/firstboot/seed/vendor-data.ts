import { writeYaml } from '../yaml.js'

const PHONE_HOME_TRIES = 10
const PER_BOOT_SCRIPT = '/var/lib/cloud/scripts/per-boot/ingot-ready'

/**
 * What we have a guest do: say that it is ready, at its first boot by cloud-init's phone_home, at later ones by a
 * script, since phone_home runs once for an instance. A `#cloud-config-archive` of two parts (JSON is YAML).
 * A user's own `phone_home` replaces ours, as vendor data always ranks below user data.
 * @param phoneHomeUrl an absolute http or https URL, as `checkSeedInput` lets it pass
 */
export function vendorData(phoneHomeUrl: string): string {
  const parts = [
    { type: 'text/cloud-config', content: phoneHome(phoneHomeUrl) },
    { type: 'text/cloud-boothook', content: boothook(phoneHomeUrl) },
  ]
  return `#cloud-config-archive\n${JSON.stringify(parts, undefined, 2)}\n`
}

/** The `phone_home` document alone. */
export function phoneHome(phoneHomeUrl: string): string {
  return `#cloud-config\n${writeYaml({ phone_home: { url: phoneHomeUrl, post: 'all', tries: PHONE_HOME_TRIES } })}`
}

// A boothook runs at every boot before the per-boot scripts, which are the last stage's. cloud-init puts no vendor
// script where it looks for per-boot ones (22.4.2, handlers/shell_script_by_frequency.py), hence the hook.
function boothook(phoneHomeUrl: string): string {
  return `#!/bin/sh
[ -d /run/cloud-init ] || exit 0
mkdir -p ${PER_BOOT_SCRIPT.slice(0, PER_BOOT_SCRIPT.lastIndexOf('/'))}
cat >${PER_BOOT_SCRIPT} <<'INGOT_SCRIPT'
${readyScript(phoneHomeUrl)}INGOT_SCRIPT
chmod 0755 ${PER_BOOT_SCRIPT}
`
}

// The semaphore is there when phone_home has run for this instance: at its first boot this script says nothing.
function readyScript(phoneHomeUrl: string): string {
  return `#!/bin/sh
[ -e /var/lib/cloud/instance/sem/config_phone_home ] || exit 0
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
