import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { runCommand } from '../../src/command.js'
import type { SeedInput } from '../../src/firstboot/seed/seed-input.js'
import type { SeedFile } from '../../src/firstboot/seed/seed-file.js'
import { renderSeed } from '../../src/firstboot/seed/seed.js'
import { vendorConfig } from '../../src/firstboot/seed/vendor-data.js'
import { FULL_SEED, SMALL_SEED } from '../firstboot/seed/sample-seed.js'

// cloud-init's own code, installed or only unpacked (`dpkg -x` of the package), reads what we write.
const PLACES = ['.cache/ingot/cloud-init/usr/lib/python3/dist-packages'].map((path) => join(homedir(), path))
const PACKAGES = [...PLACES, '/usr/lib/python3/dist-packages'].find((path) =>
  existsSync(join(path, 'cloudinit')),
)
const skip = PACKAGES === undefined
const note = skip ? ' (skipped: no cloud-init in ~/.cache/ingot/cloud-init or installed)' : ''

async function python(args: readonly string[]): Promise<string> {
  const env = { PYTHONPATH: PACKAGES ?? '', PYTHONDONTWRITEBYTECODE: '1' }
  const { stdout, stderr } = await runCommand('/usr/bin/python3', args, { timeoutMs: 60_000, env })
  return stdout + stderr
}

function cloudInit(...args: string[]): Promise<string> {
  return python(['-m', 'cloudinit.cmd.main', ...args])
}

function putFiles(folder: string, files: readonly SeedFile[]): void {
  for (const { path, bytes } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), bytes)
  }
}

void t.test(`cloud-init finds our vendor data valid${note}`, { skip }, async (t) => {
  const folder = t.testdir()
  // the schema knows single documents only, not the archive that this one is a part of
  const bytes = Buffer.from(vendorConfig(FULL_SEED))
  putFiles(folder, [{ path: 'vendor-data', bytes }])
  t.match(await cloudInit('schema', '--config-file', join(folder, 'vendor-data')), 'Valid cloud-config')
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

// One interpreter for all conversions: starting one takes longer than the work.
const RUN_EACH =
  'import json,sys;from cloudinit.cmd.main import main;[main(a) for a in json.loads(sys.argv[1])]'

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

interface Understood {
  readonly posted: string
  readonly said: Record<string, unknown>
}

/** Boots as far as cloud-init's last word: what it read, and what it posted to our URL. */
async function boot(
  folder: string,
  source: 'NoCloud' | 'ConfigDrive',
  input: SeedInput,
): Promise<Understood> {
  const posted: string[] = []
  const server = createServer((request, response) => {
    request.setEncoding('utf8')
    request.on('data', (text: string) => posted.push(`${request.url ?? ''} ${text}`))
    request.on('end', () => response.end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const address = server.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const seed = renderSeed({ ...input, phoneHomeUrl: `http://127.0.0.1:${String(port)}/ready?x=1&y=2` })
    putFiles(join(folder, 'cloud/seed/nocloud'), seed.noCloud)
    putFiles(join(folder, 'cloud/seed/config_drive'), seed.configDrive)
    const output = await python([join(import.meta.dirname, 'cloud-init-probe.py'), source, folder])
    const said: unknown = JSON.parse(output.slice(output.indexOf('{'), output.lastIndexOf('}') + 1))
    return { posted: posted.join(''), said: said as Record<string, unknown> } // the probe prints an object
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

for (const source of ['NoCloud', 'ConfigDrive'] as const) {
  void t.test(`${source} reads every field and phones home from vendor data${note}`, { skip }, async (t) => {
    const { posted, said } = await boot(t.testdir(), source, FULL_SEED)
    t.match(said, {
      instanceId: FULL_SEED.instanceId,
      hostname: 'web-1',
      fqdn: 'web-1.lab.example',
      availabilityZone: 'az-1',
      userData: Buffer.from(FULL_SEED.userData ?? []).toString('base64'),
      phoneHome: { post: 'all', tries: 10 },
    })
    t.strictSame(
      said['sshKeys'],
      FULL_SEED.keys.map(({ publicKey }) => publicKey),
    )
    t.match(posted, /^\/ready\?x=1&y=2 .*instance_id=i-20261123-0001/)
  })

  void t.test(`${source} phones home beside a user's own cloud-config${note}`, { skip }, async (t) => {
    const userData = Buffer.from('#cloud-config\nruncmd: [[touch, /x]]\n')
    const { posted, said } = await boot(t.testdir(), source, { ...SMALL_SEED, userData })
    t.match(said, { runcmd: [['touch', '/x']], hostname: '007' })
    t.match(posted, 'instance_id=i1')
  })
}
