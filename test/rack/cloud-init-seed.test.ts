import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import type { SeedInput } from '../../src/firstboot/seed/seed-input.js'
import { renderSeed } from '../../src/firstboot/seed/seed.js'
import { FULL_SEED } from '../firstboot/seed/sample-seed.js'
import { cloudInitCode, putFiles, python } from './cloud-init-oracle.js'

const { skip, note } = cloudInitCode
const SOURCES = ['NoCloud', 'ConfigDrive'] as const
const PROBE = join(import.meta.dirname, 'cloud-init-probe.py')

// What a user may say in cloud-config that we say something of too, and what we do not.
const OWN_CONFIG = `#cloud-config
runcmd: [[touch, /x]]
users: [default, {name: alice}]
write_files: [{path: /y, content: z}]
`
const OWN = {
  runcmd: [['touch', '/x']],
  users: ['default', { name: 'alice' }],
  write_files: [{ path: '/y', content: 'z' }],
}
const SCRIPT = '#!/bin/sh\necho hello\n'
const MIME = [
  'Content-Type: multipart/mixed; boundary="==b=="\nMIME-Version: 1.0\n',
  `--==b==\nContent-Type: text/cloud-config; charset="us-ascii"\n\n${OWN_CONFIG}`,
  `--==b==\nContent-Type: text/x-shellscript; charset="us-ascii"\n\n${SCRIPT}`,
  '--==b==--\n',
].join('\n')

interface Said {
  readonly config: Readonly<Record<string, unknown>>
  readonly scripts: readonly string[]
  readonly boothooks: readonly string[]
  readonly [name: string]: unknown
}

interface Wanted {
  /** Members of the merged configuration besides ours. */
  readonly config?: Readonly<Record<string, unknown>>
  readonly scripts?: readonly string[]
  /** Who is phoned: us, unless told. */
  readonly phones?: 'user' | 'nobody'
}

type UserDataOf = (url: string) => string | Buffer

/** Every kind of user data that cloud-init knows, beside what must be left of it. */
const KINDS: Readonly<Record<string, readonly [UserDataOf, Wanted]>> = {
  'cloud-config': [() => OWN_CONFIG, { config: OWN }],
  'cloud-config with a phone_home of its own': [
    (url) => `${OWN_CONFIG}phone_home: {url: "${url}/own", post: all, tries: 1}\n`,
    { config: OWN, phones: 'user' },
  ],
  'a cloud-config-archive': [
    () =>
      `#cloud-config-archive\n${JSON.stringify([{ type: 'text/cloud-config', content: OWN_CONFIG }, SCRIPT])}\n`,
    { config: OWN, scripts: [SCRIPT] },
  ],
  'a script': [() => SCRIPT, { scripts: [SCRIPT] }],
  'a MIME message': [() => MIME, { config: OWN, scripts: [SCRIPT] }],
  'compressed cloud-config': [() => gzipSync(OWN_CONFIG), { config: OWN }],
  'a compressed MIME message': [() => gzipSync(MIME), { config: OWN, scripts: [SCRIPT] }],
  'cloud-config in base64': [() => Buffer.from(OWN_CONFIG).toString('base64'), { config: OWN }],
  'a compressed script in base64': [() => gzipSync(SCRIPT).toString('base64'), { scripts: [SCRIPT] }],
  'an include of a URL': [(url) => `#include\n${url}/config\n`, { config: OWN }],
  'a template': [
    () => `## template: jinja\n${OWN_CONFIG.replace('/x', '/{{ v1.instance_id }}')}`,
    { config: { ...OWN, runcmd: [['touch', `/${FULL_SEED.instanceId}`]] } },
  ],
  'a boothook': [() => '#cloud-boothook\n#!/bin/sh\nexit 0\n', {}],
  'no user data': [() => '', {}],
  'cloud-config that wants no vendor data': [
    () => `${OWN_CONFIG}vendor_data: {enabled: false}\n`,
    { config: OWN, phones: 'nobody' },
  ],
}

/** Our own HTTP, which notes what is posted and gives the file that `#include` names. */
async function listen(): Promise<{ server: Server; url: string; posted: Map<string, string[]> }> {
  const posted = new Map<string, string[]>()
  const server = createServer((request, response) => {
    request.setEncoding('utf8')
    request.on('data', (text: string) => {
      posted.set(request.url ?? '', [...(posted.get(request.url ?? '') ?? []), text])
    })
    request.on('end', () => response.end(request.method === 'GET' ? OWN_CONFIG : ''))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return { server, url: `http://127.0.0.1:${String(port)}`, posted }
}

/** Boots each seed as far as cloud-init's last word, by each source. */
async function boot(test: Test, inputs: readonly SeedInput[]): Promise<Said[][]> {
  const folder = test.testdir()
  const scratch = (source: string, index: number): string => join(folder, `${source}-${String(index)}`)
  inputs.forEach((input, index) => {
    const seed = renderSeed(input)
    for (const source of SOURCES) {
      putFiles(join(scratch(source, index), 'cloud/seed/nocloud'), seed.noCloud)
      putFiles(join(scratch(source, index), 'cloud/seed/config_drive'), seed.configDrive)
    }
  })
  const wishes = SOURCES.flatMap((source) => inputs.map((_, index) => `${source}=${scratch(source, index)}`))
  await python([PROBE, ...wishes])
  return SOURCES.map((source) =>
    // written by the probe
    inputs.map(
      (_, index) => JSON.parse(readFileSync(join(scratch(source, index), 'said.json'), 'utf8')) as Said,
    ),
  )
}

const { server, url, posted } = await listen()
t.teardown(() => {
  server.close()
  server.closeAllConnections()
})

void t.test(`cloud-init reads every field of a seed${note}`, { skip }, async (t) => {
  for (const [said] of await boot(t, [{ ...FULL_SEED, phoneHomeUrl: `${url}/full` }])) {
    t.match(said, {
      instanceId: FULL_SEED.instanceId,
      hostname: 'web-1',
      fqdn: 'web-1.lab.example',
      availabilityZone: 'az-1',
      randomSeed: said?.['source'] === 'DataSourceConfigDrive',
      userData: Buffer.from(FULL_SEED.userData ?? []).toString('base64'),
    })
    t.strictSame(
      said?.['sshKeys'],
      FULL_SEED.keys.map(({ publicKey }) => publicKey),
    )
  }
  t.match(posted.get('/full'), [/instance_id=i-20261123-0001/, /instance_id=i-20261123-0001/])
})

/** What is said of each kind by each source, with the number that its phone-home URL has. */
async function bootKinds(test: Test): Promise<{ said: Said; kind: string; phone: string; source: string }[]> {
  const kinds = Object.entries(KINDS)
  const inputs = kinds.map(([, [userData]], index) => ({
    ...FULL_SEED,
    userData: Buffer.from(userData(url)),
    phoneHomeUrl: `${url}/ready/${String(index)}?x=1&y=2`,
  }))
  const bySource = await boot(test, inputs)
  return bySource.flatMap((saids, sourceIndex) =>
    saids.map((said, index) => {
      const phone = `/ready/${String(index)}?x=1&y=2`
      return { said, kind: kinds[index]?.[0] ?? '', phone, source: SOURCES[sourceIndex] ?? '' }
    }),
  )
}

void t.test(`user data survives beside our vendor data, and that beside it${note}`, { skip }, async (t) => {
  const hash = FULL_SEED.adminPasswordHash
  for (const { said, kind, phone, source } of await bootKinds(t)) {
    const { config = {}, scripts = [], phones = 'us' } = KINDS[kind]?.[1] ?? {}
    const { phone_home: phoneHome, password, chpasswd, ssh_pwauth: passwordLogin, ...others } = said.config
    const what = `${kind} by ${source}`
    t.strictSame(others, { users: ['default'], ...config }, `configuration of ${what}`)
    t.strictSame(said.scripts, scripts, `scripts of ${what}`)
    const url = { us: phone, user: '/own', nobody: undefined }[phones]
    t.match(
      phoneHome,
      url === undefined ? undefined : { url: new RegExp(`${url.replaceAll(/[?.]/g, '\\$&')}$`) },
      what,
    )
    t.equal(said['ownPhoneHome'], phones === 'user', `what our script looks at, of ${what}`)
    if (phones === 'nobody') continue
    t.strictSame([password, chpasswd, passwordLogin], [hash, { expire: false }, true], `password of ${what}`)
    t.strictSame(said['password'], [[[['debian', hash]], true]], `given to chpasswd of ${what}`)
    t.equal(
      said.boothooks.filter((text) => /ingot-(?:ready|network)/.test(text)).length,
      2,
      `hooks of ${what}`,
    )
    t.match(posted.get(url ?? ''), [/instance_id=i-20261123-0001/, /instance_id=/], `phone home of ${what}`)
  }
})

void t.test(`a password that the user gives in cloud-config wins over ours${note}`, { skip }, async (t) => {
  const userData = Buffer.from('#cloud-config\nchpasswd: {list: ["bob:own"]}\nssh_pwauth: false\n')
  for (const [said] of await boot(t, [{ ...FULL_SEED, userData, phoneHomeUrl: `${url}/password` }])) {
    t.strictSame(said?.['password'], [[[['bob', 'own']], false]])
    t.equal(said?.config['ssh_pwauth'], false)
  }
})
