import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { runCommand } from '../../src/command.js'
import { generateKey, parsePublicKey } from '../../src/control/ssh-key.js'
import { DaemonError } from '../../src/errors.js'

const has = (program: string): Promise<boolean> =>
  runCommand('which', [program], { timeoutMs: 5000 }).then(
    () => true,
    () => false,
  )
const sshKeygen = (...args: string[]): Promise<string> =>
  runCommand('ssh-keygen', args, { timeoutMs: 20_000 }).then(({ stdout }) => stdout.trim())

const SKIP = !(await has('ssh-keygen'))
const NOTE = SKIP ? ': needs ssh-keygen of openssh-client' : ''

for (const type of ['ed25519', 'rsa'] as const) {
  void t.test(
    `ssh-keygen reads a generated ${type} key and says the same of it${NOTE}`,
    { skip: SKIP },
    async (t) => {
      const { publicKey, privateKey, fingerprint, kind } = await generateKey(type, 'of-a-test')
      t.equal(kind, `ssh-${type}`)
      const file = join(t.testdir(), 'key')
      writeFileSync(file, privateKey, { mode: 0o600 })
      const derived = await sshKeygen('-y', '-f', file)
      t.strictSame(derived.split(' ').slice(0, 2), publicKey.split(' ').slice(0, 2))
      writeFileSync(`${file}.pub`, `${publicKey}\n`)
      const [bits, said, comment] = (await sshKeygen('-l', '-f', `${file}.pub`)).split(' ')
      t.strictSame([bits, said, comment], [type === 'rsa' ? '3072' : '256', fingerprint, 'of-a-test'])
    },
  )
}

void t.test(
  `keys that ssh-keygen makes are taken, with the fingerprint it gives them${NOTE}`,
  { skip: SKIP },
  async (t) => {
    const kinds = [
      ['-t', 'ed25519'],
      ['-t', 'rsa', '-b', '2048'],
      ['-t', 'ecdsa', '-b', '256'],
      ['-t', 'ecdsa', '-b', '521'],
    ]
    const dir = t.testdir()
    for (const [index, args] of kinds.entries()) {
      const file = join(dir, `k${index}`)
      await sshKeygen('-q', '-N', '', '-f', file, ...args)
      const { publicKey, fingerprint } = parsePublicKey(
        await runCommand('cat', [`${file}.pub`], { timeoutMs: 5000 }).then(({ stdout }) => stdout),
      )
      t.notMatch(publicKey, /\n/)
      t.equal((await sshKeygen('-l', '-f', file)).split(' ')[1], fingerprint, args.join(' '))
    }
  },
)

const ED25519 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhbGFuY2VzYmFsYW5jZXNiYWxhbmNlc2JhbGFuY2Vz'

function rsaLine(bits: number): string {
  const { n = '', e = '' } = generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({
    format: 'jwk',
  })
  const field = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  const number = (text: string): Buffer => Buffer.concat([Buffer.alloc(1), Buffer.from(text, 'base64url')])
  const blob = [Buffer.from('ssh-rsa'), Buffer.from(e, 'base64url'), number(n)].map(field)
  return `ssh-rsa ${Buffer.concat(blob).toString('base64')}`
}

void t.test('what is no sound public key is refused, and why', (t) => {
  t.equal(parsePublicKey(`${ED25519} me@here`).kind, 'ssh-ed25519')
  t.equal(parsePublicKey(rsaLine(2048)).kind, 'ssh-rsa')
  const refused: Readonly<Record<string, RegExp>> = {
    [rsaLine(1024)]: /2048 bits at least, got 1024/,
    [ED25519.replace('ssh-ed25519 ', 'ssh-rsa ')]: /what follows ssh-rsa is no such key/,
    [ED25519.slice(0, -4)]: /no such key/,
    [`${ED25519}AAAA`]: /no such key/,
    [ED25519.replace('ssh-ed25519 ', 'ssh-dss ')]: /begins with one of/,
    [`command="x" ${ED25519}`]: /begins with one of/,
    [`${ED25519}\n${ED25519}`]: /one line/,
    [`${ED25519} \u2028`]: /one line/,
    [`${ED25519} ${'x'.repeat(17_000)}`]: /at most 16384 bytes/,
    '': /begins with one of/,
    '-----BEGIN OPENSSH PRIVATE KEY-----': /begins with one of/,
  }
  for (const [line, message] of Object.entries(refused)) {
    t.throws(() => parsePublicKey(line), { code: 'INVALID_INPUT', message }, line.slice(0, 40))
  }
  t.throws(() => parsePublicKey('ssh-rsa x'), { message: /^public_key: / })
  t.end()
})

void t.test('any text is a key or refused, nothing else', (t) => {
  const blob = fc
    .uint8Array({ maxLength: 80 })
    .map((bytes) => `ssh-rsa ${Buffer.from(bytes).toString('base64')}`)
  const flipped = fc.nat(60).map((at) => {
    const bytes = Buffer.from(ED25519.split(' ')[1] ?? '', 'base64')
    bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ 0xff
    return `ssh-ed25519 ${bytes.toString('base64')}`
  })
  fc.assert(
    fc.property(fc.oneof(fc.string(), blob, flipped), (text) => {
      try {
        return parsePublicKey(text).fingerprint.length === 50
      } catch (err) {
        return err instanceof DaemonError
      }
    }),
  )
  t.end()
})
