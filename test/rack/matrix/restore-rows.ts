import type { MatrixGuest } from './matrix-guest.js'

/** Where the back ends keep what an operator may lose. */
const NETWORK_FILES =
  '/etc/netplan /run/netplan /lib/netplan /etc/systemd/network /run/systemd/network ' +
  '/etc/NetworkManager/system-connections /run/NetworkManager/system-connections ' +
  '/etc/network/interfaces /etc/network/interfaces.d /run/network/interfaces.d'
const LIST = `find ${NETWORK_FILES} -type f 2>/dev/null`
const EXIT = /^exit (\d+)$/m

/** Deletes what the guest knows of its network, then garbles it: each time the agent brings it back (acceptance c). */
export async function checkRestore(guest: MatrixGuest): Promise<void> {
  await agentSays(guest, '--check', 0, 'finds no difference before')
  const files = (await guest.run(`${LIST} || true`)).trim()
  guest.log.check('it has network files to lose', files !== '')
  guest.log.step(`deleting ${files.split('\n').join(' ')}`)
  await guest.run(`${LIST} | xargs -r -d '\\n' rm -f\nip link del vlan7; ip link del bond0 || true`)
  const left = (await guest.run(`${LIST} || true`)).trim()
  guest.log.check('they are gone', left === '', left)
  const said = await agentSays(guest, '--check', 1, 'names differences')
  guest.log.check('one of them is the bond', said.includes('bond0'), said)
  await agentSays(guest, '--restore', 0, 'restores on demand')
  await guest.checkNetwork('after --restore')
  await agentSays(guest, '--check', 0, 'finds no difference after --restore')
  await guest.run(`${LIST} | while read -r file; do head -c 600 /dev/urandom >"$file"; done; sync`)
  await agentSays(guest, '--check', 1, 'names differences of garbled files')
  await guest.reboot()
  await guest.checkNetwork('by itself, after a boot with garbled files')
  await agentSays(guest, '--check', 0, 'finds no difference after the boot')
}

async function agentSays(guest: MatrixGuest, option: string, status: number, what: string): Promise<string> {
  const said = await guest.run(`bms-network-config ${option} 2>&1 && echo "exit 0" || echo "exit $?"`)
  guest.log.check(
    `bms-network-config ${option} ${what}`,
    EXIT.exec(said)?.[1] === String(status),
    said.trim(),
  )
  return said
}
