import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { DaemonError } from '../../../src/errors.js'
import type { SeedInput } from '../../../src/firstboot/seed/seed-input.js'
import { OPENSTACK_VERSIONS } from '../../../src/firstboot/seed/openstack-documents.js'
import type { SeedFile } from '../../../src/firstboot/seed/seed-file.js'
import { renderSeed } from '../../../src/firstboot/seed/seed.js'
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
    const kept = configDrive.filter(({ path }) => /^(?:openstack\/latest|ec2\/latest|ingot)\//.test(path))
    for (const { path, bytes } of kept) golden(t, join(name, 'config-2', path), bytes)
    t.end()
  })
}

void t.test(
  'every version of the config drive holds what that version brought, and what those before it did',
  (t) => {
    const { configDrive } = renderSeed(FULL_SEED)
    const namesIn = (version: string): string[] =>
      configDrive
        .filter(({ path }) => path.startsWith(`openstack/${version}/`))
        .map(({ path }) => path.slice(`openstack/${version}/`.length))
        .sort()
    const first = ['meta_data.json', 'user_data']
    t.strictSame(namesIn('2012-08-10'), first)
    t.strictSame(namesIn('2013-04-04'), first)
    t.strictSame(namesIn('2013-10-17'), [...first, 'vendor_data.json'])
    // What the plug-in of bare metal clouds takes for the newest.
    t.strictSame(namesIn('2015-10-15'), [
      'meta_data.json',
      'network_data.json',
      'user_data',
      'vendor_data.json',
    ])
    t.strictSame(namesIn('2016-06-30'), namesIn('2015-10-15'))
    const all = ['meta_data.json', 'network_data.json', 'user_data', 'vendor_data.json', 'vendor_data2.json']
    for (const version of OPENSTACK_VERSIONS.slice(5)) t.strictSame(namesIn(version), all, version)
    t.end()
  },
)

function metaDataOf(input: SeedInput, version: string): Record<string, unknown> {
  const bytes = contentOf(renderSeed(input).configDrive, `openstack/${version}/meta_data.json`)
  return JSON.parse(bytes.toString()) as Record<string, unknown> // our own document: an object
}

void t.test('meta_data.json has a project since 2015-10-15 and a random seed since 2013-04-04', (t) => {
  for (const version of OPENSTACK_VERSIONS) {
    const metaData = metaDataOf(FULL_SEED, version)
    t.equal('project_id' in metaData, version >= '2015-10-15', `project in ${version}`)
    t.equal('random_seed' in metaData, version >= '2013-04-04', `random seed in ${version}`)
    t.match(metaData, { uuid: 'i-20261123-0001', launch_index: 0, meta: { server_id: FULL_SEED.serverId } })
  }
  t.end()
})

void t.test('the random seed is 512 bytes, stays with a deploy, and differs by deploy and by secret', (t) => {
  const seedOf = (change: Partial<SeedInput>): unknown =>
    metaDataOf({ ...FULL_SEED, ...change }, 'latest')['random_seed']
  const seed = seedOf({})
  t.equal(Buffer.from(String(seed), 'base64').length, 512)
  t.equal(seedOf({ hostname: 'other', userData: Buffer.from('#!/bin/sh\n') }), seed)
  t.not(seedOf({ instanceId: 'i2' }), seed)
  t.not(seedOf({ seedSecret: Buffer.alloc(32, 't') }), seed)
  t.notOk('random_seed' in metaDataOf(SMALL_SEED, 'latest'), 'no secret, no seed that could be guessed')
  t.end()
})

void t.test('no document holds a password, and meta_data.json not even its hash', (t) => {
  const { configDrive, noCloud } = renderSeed(FULL_SEED)
  for (const { path, bytes } of [...configDrive, ...noCloud]) {
    t.notMatch(bytes.toString(), 'admin_pass', path)
    const hasHash = bytes.includes(FULL_SEED.adminPasswordHash ?? 'missing')
    t.equal(hasHash, /vendor[-_]data/.test(path) && !path.includes('data2'), path)
  }
  t.end()
})

void t.test(
  'a server without user data has no user_data, but the user-data that NoCloud is found by',
  (t) => {
    for (const userData of [undefined, new Uint8Array(0)]) {
      const { configDrive, noCloud } = renderSeed({ ...SMALL_SEED, ...(userData && { userData }) })
      t.notOk(configDrive.some(({ path }) => /user[_-]data/.test(path)))
      t.equal(contentOf(noCloud, 'user-data').toString(), '#cloud-config\n{}\n')
    }
    t.end()
  },
)

void t.test('user data comes out byte for byte, whatever it is', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (userData) => {
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
function named(...publicKeys: readonly string[]): SeedInput['keys'] {
  return publicKeys.map((publicKey, index) => ({ name: `k${String(index)}`, publicKey }))
}

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
  ['keys[0].publicKey', 'holds two lines', { keys: named(`${KEY}\n${KEY}`) }],
  ['keys[0].publicKey', 'ends in a newline', { keys: named(`${KEY}\n`) }],
  ['keys[1].publicKey', 'has a NUL', { keys: named(KEY, `${KEY} \0`) }],
  ['keys[0].publicKey', 'has a line separator', { keys: named(`${KEY} \u2028x`) }],
  ['keys[0].publicKey', 'has a C1 control', { keys: named(`${KEY} \u0085x`) }],
  ['keys[0].publicKey', 'has half a character', { keys: named(`${KEY} \ud83d`) }],
  ['keys[0].publicKey', 'starts with options', { keys: named(`command="reboot" ${KEY}`) }],
  ['keys[0].publicKey', 'is a comment', { keys: named('# ssh-rsa') }],
  ['keys[0].publicKey', 'is empty', { keys: named('') }],
  ['keys[0].publicKey', 'is longer than 16 KiB', { keys: named(`${KEY} ${'x'.repeat(16_384)}`) }],
  ['instanceId', 'walks up', { instanceId: '../../etc' }],
  ['instanceId', 'is a dot', { instanceId: '.' }],
  ['instanceId', 'is empty', { instanceId: '' }],
  ['serverId', 'has a space', { serverId: 'a b' }],
  ['availabilityZone', 'has a quote', { availabilityZone: 'az"' }],
  ['phoneHomeUrl', 'is another scheme', { phoneHomeUrl: 'file:///etc/passwd' }],
  ['phoneHomeUrl', 'has a newline', { phoneHomeUrl: 'http://h/\nruncmd:' }],
  ['phoneHomeUrl', 'has a variable', { phoneHomeUrl: 'http://h/$INSTANCE_ID' }],
  ['phoneHomeUrl', 'has no host', { phoneHomeUrl: 'http://?' }],
  ['keys[1].name', 'comes twice', { keys: [...named(KEY), ...named(KEY)] }],
  ['keys[0].name', 'has a newline', { keys: [{ name: 'a\nb', publicKey: KEY }] }],
  ['keys', 'are 65', { keys: named(...Array.from({ length: 65 }, () => KEY)) }],
  [
    'keys',
    'take more than 256 KiB',
    { keys: named(...Array.from({ length: 20 }, () => `${KEY} ${'x'.repeat(16_000)}`)) },
  ],
  ['userData', 'is larger than 32 KiB', { userData: Buffer.alloc(32 * 1024 + 1) }],
  ['adminPasswordHash', 'is a password in clear', { adminPasswordHash: 'correct horse' }],
  ['adminPasswordHash', 'is an MD5 hash', { adminPasswordHash: '$1$salt$qJH7.N4xYta3aEG/dfqo/0' }],
  ['adminPasswordHash', 'ends in a second line', { adminPasswordHash: `$6$salt$${'a'.repeat(86)}\nroot:x` }],
  ['seedSecret', 'is short', { seedSecret: Buffer.alloc(15) }],
  ['localIpv4', 'is no address', { localIpv4: '198.18.0' }],
  ['projectId', 'has a slash', { projectId: 'a/b' }],
  ['metadata', 'has an empty name', { metadata: { '': 'x' } }],
  ['metadata.a', 'has a value of 256 characters', { metadata: { a: 'x'.repeat(256) } }],
  ['networkAgent', 'is larger than 1 MiB', { networkAgent: Buffer.alloc(1024 * 1024 + 1) }],
  ['network.links', 'is empty', { network: { links: [], dns: [], search: [] } }],
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
        renderSeed({ ...SMALL_SEED, hostname, keys: named(`${KEY} ${comment}`) })
        return true
      } catch (err) {
        return err instanceof DaemonError && /^(?:hostname|keys\[0\]\.publicKey): /.test(err.message)
      }
    }),
  )
  t.end()
})
