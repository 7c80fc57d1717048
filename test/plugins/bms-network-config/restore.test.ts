import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { BARE, type GuestTree } from './guest-tree.js'
import { VLAN_ON_BOND, written } from './kernel-states.js'

/** What each back end is told to bring up a VLAN on a bond over bare NICs. */
const TOLD: Readonly<Record<string, readonly string[]>> = {
  netplan: ['netplan generate', 'networkctl reload', 'networkctl reconfigure ens4 ens5 bond0 vlan7'],
  networkd: ['networkctl reload', 'networkctl reconfigure ens4 ens5 bond0 vlan7'],
  NetworkManager: [
    'nmcli general reload',
    'nmcli connection reload',
    'nmcli --wait 20 connection up ingot-bond0',
    'nmcli --wait 20 connection up ingot-nic2',
    'nmcli --wait 20 connection up ingot-nic3',
    'nmcli --wait 20 connection up ingot-vlan7',
  ],
  ifupdown: ['ifdown --force vlan7', 'ifdown --force bond0', 'ifup --force bond0', 'ifup --force vlan7'],
  ifcfg: ['ifdown vlan7', 'ifup vlan7', 'ifdown bond0', 'ifup bond0'],
}

for (const [backend, told] of Object.entries(TOLD)) {
  void t.test(`${backend} is told what is wrong, and nothing when it is right`, async (t) => {
    const guest = await written(t.testdir(), backend, 'vlan-on-bond', BARE)
    guest.kernel(VLAN_ON_BOND, 'after')
    const first = await guest.run([], 'programs')
    t.equal(first.code, 0, first.stdout)
    t.same([...guest.calls()].sort(), [...told].sort())
    const second = await guest.run([], 'programs')
    t.equal(second.stdout, `nothing to do: the network is as config-2 wishes (${backend})\n`)
    t.equal(guest.calls().length, told.length)
  })

  void t.test(
    `${backend} has its files again after they were deleted, and after they were garbled`,
    async (t) => {
      const guest = await written(t.testdir(), backend, 'vlan-on-bond', VLAN_ON_BOND)
      const right = guest.texts()
      const ours = guest.files().filter((path) => guest.read(path).startsWith('# Written by'))
      for (const harm of [lose, garble]) {
        for (const path of ours) harm(guest, path)
        const check = await guest.run(['check'], 'programs')
        t.equal(check.code, 1)
        for (const path of ours) t.match(check.stdout, `/${path}: `)
        const restore = await guest.run(['restore'], 'programs')
        t.equal(restore.code, 0, restore.stdout)
        t.equal(guest.texts(), right, harm.name)
        t.notMatch(
          guest.calls().join('\n'),
          /reconfigure|connection up|ifup|ifdown/,
          'no interface is bounced for it',
        )
      }
    },
  )
}

function lose(guest: GuestTree, path: string): void {
  rmSync(join(guest.root, path))
}

function garble(guest: GuestTree, path: string): void {
  guest.write(path, `auto\n\u0000\u0001[[${path.length}: - {\n`)
}
