import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { renderSeed } from '../../src/firstboot/seed/seed.js'
import { vendorConfig } from '../../src/firstboot/seed/vendor-data.js'
import { FULL_SEED, SMALL_SEED } from '../firstboot/seed/sample-seed.js'
import { cloudInitCode, putFiles, python } from './cloud-init-oracle.js'

const { skip, note } = cloudInitCode

// One interpreter for all commands: starting one takes longer than the work.
const RUN_EACH =
  'import json,sys;from cloudinit.cmd.main import main;[main(a) for a in json.loads(sys.argv[1])]'

void t.test(`cloud-init finds all cloud-config of ours valid${note}`, { skip }, async (t) => {
  const folder = t.testdir()
  // The schema knows single documents only, not the archive that these are a part of.
  putFiles(folder, [
    { path: 'vendor', bytes: Buffer.from(vendorConfig(FULL_SEED)) },
    { path: 'vendor-without-password', bytes: Buffer.from(vendorConfig({ phoneHomeUrl: FULL_SEED.phoneHomeUrl })) },
    ...renderSeed(SMALL_SEED).noCloud.filter(({ path }) => path === 'user-data'),
  ])
  const files = readdirSync(folder)
  const commands = files.map((file) => ['cloud-init', 'schema', '--config-file', join(folder, file)])
  const said = await python(['-c', RUN_EACH, JSON.stringify(commands)])
  t.strictSame(
    said.match(/^Valid cloud-config: .*$/gm),
    commands.map((words) => `Valid cloud-config: ${words[3] ?? ''}`),
  )
  t.notMatch(said, /deprecat/i)
})

const RENDERERS = [
  ['netplan', 'debian'],
  ['eni', 'debian'],
  ['networkd', 'photon'],
  ['sysconfig', 'rhel'],
  ['network-manager', 'rhel'],
] as const
const DOCUMENTS = [
  ['yaml', 'network-config'],
  ['network_data.json', 'openstack/latest/network_data.json'],
] as const

interface Conversion {
  readonly kind: string
  readonly document: string
  readonly renderer: string
  readonly distribution: string
}

const CONVERSIONS = RENDERERS.flatMap(([renderer, distribution]) =>
  DOCUMENTS.map(([kind, document]): Conversion => ({ kind, document, renderer, distribution })),
)

function convertArguments(folder: string, how: Conversion): string[] {
  const { kind, document, renderer, distribution } = how
  const nics = ['-m', 'eth0,52:54:00:12:34:56', '-m', 'eth1,52:54:00:ab:cd:ef']
  const target = ['-O', renderer, '-D', distribution, '-d', join(folder, `${renderer}-${kind}`)]
  return ['cloud-init', 'devel', 'net-convert', '-k', kind, '-p', join(folder, document), ...target, ...nics]
}

function textsUnder(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  return files.map((file) => readFileSync(join(file.parentPath, file.name), 'utf8')).join('\n')
}

void t.test(
  `cloud-init turns both network documents into what each system reads${note}`,
  { skip },
  async (t) => {
    const folder = t.testdir()
    const seed = renderSeed(FULL_SEED) // its first NIC has a fixed address, its second asks
    putFiles(folder, [...seed.noCloud, ...seed.configDrive])
    await python(['-c', RUN_EACH, JSON.stringify(CONVERSIONS.map((how) => convertArguments(folder, how)))])
    for (const { renderer, kind } of CONVERSIONS) {
      const text = textsUnder(join(folder, `${renderer}-${kind}`))
      for (const said of ['198.18.0.10', '198.18.0.1', '8888', '198.18.0.53']) {
        t.match(text, said, `${said} from ${kind} in ${renderer}`)
      }
      t.match(
        text,
        /dhcp4: true|inet dhcp|DHCP=ipv4|BOOTPROTO=dhcp|method=auto/,
        `${kind} asks in ${renderer}`,
      )
    }
    const netplan = textsUnder(join(folder, 'netplan-yaml'))
    t.match(netplan, 'critical: true')
    t.notMatch(netplan, 'set-name')
  },
)
