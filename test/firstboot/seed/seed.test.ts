import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { DaemonError } from '../../../src/errors.js'
import type { SeedInput } from '../../../src/firstboot/seed/seed-input.js'
import { OPENSTACK_VERSIONS, renderSeed, type SeedFile } from '../../../src/firstboot/seed/seed.js'
import { FULL_SEED, SMALL_SEED } from './sample-seed.js'

const FIXTURES = join(import.meta.dirname, '../../../fixtures/seed')

function contentOf(files: readonly SeedFile[], path: string): Buffer {
  const file = files.find((candidate) => candidate.path === path)
  if (file === undefined) throw new Error(`${path} is missing`)
  return file.bytes
}

/** Under UPDATE_FIXTURES the golden is written anew and the run fails, so that nobody forgets to look. */
function golden(test: Test, path: string, bytes: Buffer): void {
  const file = join(FIXTURES, path)
  if (process.env['UPDATE_FIXTURES'] === '1') {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, bytes)
    test.fail(`${path} was rewritten`)
    return
  }
  test.equal(bytes.toString(), existsSync(file) ? readFileSync(file, 'utf8') : 'no such fixture', path)
}

for (const [name, input] of Object.entries({ full: FULL_SEED, small: SMALL_SEED })) {
  void t.test(`the documents of the ${name} seed are those in fixtures/seed/${name}`, (t) => {
    const { configDrive, noCloud } = renderSeed(input)
    for (const { path, bytes } of noCloud) golden(t, join(name, 'cidata', path), bytes)
    const latest = configDrive.filter(({ path }) => path.startsWith('openstack/latest/'))
    for (const { path, bytes } of latest) golden(t, join(name, 'config-2', path), bytes)
    t.end()
  })
}

void t.test('every version of the config drive holds the same five documents', (t) => {
  const { configDrive } = renderSeed(FULL_SEED)
  t.equal(configDrive.length, OPENSTACK_VERSIONS.length * 5)
  for (const version of OPENSTACK_VERSIONS) {
    for (const name of [
      'meta_data.json',
      'user_data',
      'network_data.json',
      'vendor_data.json',
      'vendor_data2.json',
    ]) {
      const bytes = contentOf(configDrive, `openstack/${version}/${name}`)
      t.ok(bytes.equals(contentOf(configDrive, `openstack/latest/${name}`)), `${version}/${name}`)
    }
  }
  t.end()
})

void t.test('user data comes out byte for byte, whatever it is', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (userData) => {
      const { configDrive, noCloud } = renderSeed({ ...SMALL_SEED, userData })
      return (
        contentOf(noCloud, 'user-data').equals(userData) &&
        contentOf(configDrive, 'openstack/2015-10-15/user_data').equals(userData)
      )
    }),
  )
  t.end()
})

void t.test('a new deploy of the same server has a new identity on both volumes', (t) => {
  const { configDrive, noCloud } = renderSeed({ ...SMALL_SEED, instanceId: 'i2' })
  t.match(contentOf(noCloud, 'meta-data').toString(), 'instance-id: "i2"')
  t.match(contentOf(configDrive, 'openstack/latest/meta_data.json').toString(), '"uuid": "i2"')
  t.end()
})

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIkz1vXbO3y1m0sQ8u5kC2bq9m4vT6WnqYg0Zf7dLhXe'
const HOSTILE: readonly [field: string, what: string, change: Partial<SeedInput>][] = [
  ['hostname', 'is empty', { hostname: '' }],
  ['hostname', 'has a newline', { hostname: 'web\nruncmd: [reboot]' }],
  ['hostname', 'ends in a newline', { hostname: 'web\n' }],
  ['hostname', 'has an underscore', { hostname: 'web_1' }],
  ['hostname', 'starts with a hyphen', { hostname: '-web' }],
  ['hostname', 'ends with a hyphen', { hostname: 'web-' }],
  ['hostname', 'has an empty label', { hostname: 'web..example' }],
  ['hostname', 'ends with a dot', { hostname: 'web.' }],
  ['hostname', 'has a label of 64', { hostname: 'a'.repeat(64) }],
  ['hostname', 'has 254 characters', { hostname: `${'a'.repeat(49)}.`.repeat(5) + 'abcd' }],
  ['hostname', 'looks like an address', { hostname: '198.18.0.1' }],
  ['hostname', 'is not ASCII', { hostname: 'wéb' }],
  ['sshKeys[0]', 'holds two lines', { sshKeys: [`${KEY}\n${KEY}`] }],
  ['sshKeys[0]', 'ends in a newline', { sshKeys: [`${KEY}\n`] }],
  ['sshKeys[1]', 'has a NUL', { sshKeys: [KEY, `${KEY} \0`] }],
  ['sshKeys[0]', 'has a line separator', { sshKeys: [`${KEY} \u2028x`] }],
  ['sshKeys[0]', 'has a C1 control', { sshKeys: [`${KEY} \u0085x`] }],
  ['sshKeys[0]', 'has half a character', { sshKeys: [`${KEY} \ud83d`] }],
  ['sshKeys[0]', 'starts with options', { sshKeys: [`command="reboot" ${KEY}`] }],
  ['sshKeys[0]', 'is a comment', { sshKeys: ['# ssh-rsa'] }],
  ['sshKeys[0]', 'is empty', { sshKeys: [''] }],
  ['sshKeys[0]', 'is longer than 16 KiB', { sshKeys: [`${KEY} ${'x'.repeat(16_384)}`] }],
  ['instanceId', 'walks up', { instanceId: '../../etc' }],
  ['instanceId', 'is a dot', { instanceId: '.' }],
  ['instanceId', 'is empty', { instanceId: '' }],
  ['serverId', 'has a space', { serverId: 'a b' }],
  ['availabilityZone', 'has a quote', { availabilityZone: 'az"' }],
  ['phoneHomeUrl', 'is another scheme', { phoneHomeUrl: 'file:///etc/passwd' }],
  ['phoneHomeUrl', 'has a newline', { phoneHomeUrl: 'http://h/\nruncmd:' }],
  ['phoneHomeUrl', 'has a variable', { phoneHomeUrl: 'http://h/$INSTANCE_ID' }],
  ['phoneHomeUrl', 'has no host', { phoneHomeUrl: 'http://?' }],
  ['userData', 'is larger than 1 MiB', { userData: Buffer.alloc(1024 * 1024 + 1) }],
  ['network.links', 'is empty', { network: { links: [], dns: [] } }],
]

for (const [field, what, change] of HOSTILE) {
  void t.test(`a seed is refused when ${field} ${what}`, (t) => {
    try {
      renderSeed({ ...SMALL_SEED, ...change })
      t.fail('was accepted')
    } catch (err) {
      t.type(err, DaemonError)
      t.match(err, { code: 'INVALID_INPUT' })
      t.ok(err instanceof Error && err.message.startsWith(`${field}: `), String(err))
    }
    t.end()
  })
}

void t.test('any text as host name or key gives a seed or a refusal that names the field', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (hostname, comment) => {
      try {
        renderSeed({ ...SMALL_SEED, hostname, sshKeys: [`${KEY} ${comment}`] })
        return true
      } catch (err) {
        return err instanceof DaemonError && /^(?:hostname|sshKeys\[0\]): /.test(err.message)
      }
    }),
  )
  t.end()
})
