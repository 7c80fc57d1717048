import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { runCommand } from '../../src/command.js'
import { cloudInitCode } from './cloud-init-oracle.js'
import {
  convertNetworks,
  DOCUMENTS,
  filesUnder,
  guestName,
  linkOf,
  RENDERERS,
  textOf,
  type Conversions,
  type Converted,
  type Document,
  type Renderer,
} from './converted-networks.js'
import { wishesOf, type What } from './network-wishes.js'

/** What a renderer of cloud-init 22.4.2 itself cannot write, however the document puts it. */
interface Fault {
  readonly renderer: Renderer
  readonly documents: readonly Document[]
  readonly what: readonly What[]
  readonly why: string
}

const ALL = Object.keys(DOCUMENTS) as readonly Document[] // a literal table has no further keys
const V2 = ['network-config.yaml'] as const
const OPENSTACK = ['network_data.json'] as const

const FAULTS: readonly Fault[] = [
  {
    renderer: 'networkd',
    documents: ALL,
    what: ['bond', 'bond mode', 'bond option', 'bond member', 'bond primary', 'VLAN', 'VLAN on the root NIC'],
    why: 'no .netdev is ever written, so that bonds and VLANs need netplan or our agent',
  },
  ...(['eni', 'networkd', 'sysconfig', 'network-manager'] as const).map((renderer) => ({
    renderer,
    documents: V2,
    what: ['metric'] as const,
    why: 'the metric of a route is dropped when version 2 is read',
  })),
  {
    renderer: 'network-manager',
    documents: ['network-config-v1.yaml', 'network_data.json'],
    what: ['metric'],
    why: 'a route is written without its metric',
  },
  ...(['eni', 'network-manager'] as const).map((renderer) => ({
    renderer,
    documents: V2,
    what: ['route of IPv6 beside IPv4'] as const,
    why: 'all routes of a link in version 2 go to its first address, which is of IPv4',
  })),
  ...(['eni', 'sysconfig', 'network-manager'] as const).map((renderer) => ({
    renderer,
    documents: V2,
    what: ['VLAN on the root NIC'] as const,
    why: 'the parent of a VLAN is not looked up by MAC, and the root NIC must keep its name',
  })),
  {
    renderer: 'network-manager',
    documents: V2,
    what: ['autoconfiguration'],
    why: 'accept-ra of version 2 is not looked at',
  },
  {
    renderer: 'network-manager',
    documents: ALL,
    what: ['MTU of a bond or VLAN'],
    why: 'only Ethernet has an MTU',
  },
  {
    renderer: 'network-manager',
    documents: V2,
    what: ['bond option'],
    why: 'miimon is looked for as bond_miimon only',
  },
  {
    renderer: 'network-manager',
    documents: OPENSTACK,
    what: ['bond mode', 'bond option'],
    why: 'mode and hash policy are looked for with hyphens only, and OpenStack has underscores',
  },
  ...(['netplan', 'eni', 'sysconfig', 'network-manager'] as const).map((renderer) => ({
    renderer,
    documents: OPENSTACK,
    what: ['bond primary'] as const,
    why: 'an id would stay an id, so the document has it under a name of ours',
  })),
]

const { skip, note } = cloudInitCode

const NETPLAN = [join(homedir(), '.cache/ingot/netplan'), ''].find((root) =>
  existsSync(join(root, '/usr/libexec/netplan/generate')),
)

void t.test(`cloud-init writes our networks for every system${note}`, { skip }, async (t) => {
  const conversions = await convertNetworks(t.testdir())
  t.strictSame(conversions.failed, {}, 'each document is converted into each form')
  const missing = missingWishes(conversions)
  // Others name files otherwise and have faults of their own: 25.1 forgets the hash policy of a bond in ifcfg.
  const isOther = !conversions.version.startsWith('22.4.2')
  const versionNote = isOther ? ` (skipped: this is ${conversions.version})` : ''
  await t.test(`every wish is written${versionNote}`, { skip: isOther }, (t) => {
    checkWishes(t, missing)
    t.end()
  })
  await checkFaults(t, missing, versionNote)
  const netplanNote = NETPLAN === undefined ? ' (skipped: no netplan in ~/.cache/ingot or installed)' : ''
  await t.test(
    `netplan generates from what cloud-init wrote${netplanNote}`,
    { skip: NETPLAN === undefined },
    (t) => checkNetplan(t, conversions.all, NETPLAN ?? ''),
  )
})

/** Where a wish did not come true, by what it was. */
function missingWishes({ all }: Conversions): ReadonlyMap<string, readonly string[]> {
  const missing = new Map<string, string[]>()
  for (const converted of all) {
    for (const link of converted.network.model.links) {
      const text = textOf(converted, link)
      for (const { what, written } of wishesOf(converted, link)) {
        if (written[converted.renderer].test(text)) continue
        const key = keyOf(converted.renderer, converted.document, what)
        missing.set(key, [...(missing.get(key) ?? []), `${converted.network.name} ${link.id}:\n${text}`])
      }
    }
  }
  return missing
}

function keyOf(renderer: Renderer, document: Document, what: What): string {
  return `${renderer} from ${document}: ${what}`
}

function keysOf({ renderer, documents, what }: Fault): readonly string[] {
  return documents.flatMap((document) => what.map((one) => keyOf(renderer, document, one)))
}

function checkWishes(t: Test, missing: ReadonlyMap<string, readonly string[]>): void {
  const known = new Set(FAULTS.flatMap(keysOf))
  for (const renderer of Object.keys(RENDERERS)) {
    for (const document of ALL) {
      const own = [...missing].filter(
        ([key]) => key.startsWith(`${renderer} from ${document}:`) && !known.has(key),
      )
      t.strictSame(Object.fromEntries(own), {}, `${renderer} says all of ${document}`)
    }
  }
}

/** A fault that is mended should leave the table, and perhaps a document of ours get simpler. */
async function checkFaults(
  t: Test,
  missing: ReadonlyMap<string, readonly string[]>,
  note: string,
): Promise<void> {
  const skip = note !== ''
  for (const fault of FAULTS) {
    const name = `cloud-init 22.4.2 itself, ${fault.renderer} from ${fault.documents.join(', ')}: ${fault.why}${note}`
    await t.test(name, { skip }, (t) => {
      for (const key of keysOf(fault)) t.ok(missing.has(key), key)
      t.end()
    })
  }
}

async function checkNetplan(t: Test, all: readonly Converted[], root: string): Promise<void> {
  const env = { LD_LIBRARY_PATH: join(root, 'usr/lib/x86_64-linux-gnu') }
  for (const converted of all.filter(({ renderer }) => renderer === 'netplan')) {
    const { folder, document, network } = converted
    const args = ['--root-dir', folder]
    const { stderr } = await runCommand(join(root, 'usr/libexec/netplan/generate'), args, {
      timeoutMs: 20_000,
      env,
    })
    const said = stderr.split('\n').filter((line) => line !== '' && !/gateway[46]|Default routes/.test(line))
    t.strictSame(said, [], `netplan has nothing to say of ${network.name}, ${document}`)
    checkUnits(t, converted)
  }
}

/** What netplan makes of it for networkd: who is in whom, and what becomes of the root NIC. */
function checkUnits(t: Test, converted: Converted): void {
  const { network, document, folder } = converted
  const units = new Map(
    filesUnder(join(folder, 'run/systemd/network')).map((path) => [
      basename(path),
      readFileSync(path, 'utf8'),
    ]),
  )
  const unit = (name: string, kind: string): string => units.get(`10-netplan-${name}.${kind}`) ?? 'missing'
  for (const link of network.model.links) {
    const name = guestName(converted, link)
    const about = `${network.name}, ${document}: ${name}`
    if (link.kind === 'bond') {
      t.match(unit(name, 'netdev'), `Kind=bond\n\n[Bond]\nMode=${link.mode}\n`, about)
      for (const id of link.members) {
        const member = guestName(converted, linkOf(network.model, id))
        t.match(unit(member, 'network'), `Bond=${name}\n`, `${about} has ${member}`)
      }
    }
    if (link.kind === 'vlan') {
      t.match(unit(name, 'netdev'), `[VLAN]\nId=${link.vlanId}\n`, about)
      const parent = guestName(converted, linkOf(network.model, link.parent))
      t.match(unit(parent, 'network'), `VLAN=${name}\n`, `${about} is on ${parent}`)
    }
    if (link.kind === 'nic' && link.isRoot && document === 'network-config.yaml') {
      t.match(unit(name, 'network'), 'CriticalConnection=true', `${about} keeps the root disk`)
      t.notMatch(unit(name, 'link'), /^Name=/m, `${about} is not renamed`)
    }
  }
}
