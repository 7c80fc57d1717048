import t, { type Test } from 'tap'
import { systemClock } from '../../src/clock.js'
import { Keypairs } from '../../src/control/keypairs.js'
import { openRegistry, type Registry } from '../../src/registry/registry.js'

function opened(t: Test): { registry: Registry; keypairs: Keypairs } {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  return { registry, keypairs: new Keypairs({ registry, clock: systemClock }) }
}

void t.test('the private key of a made pair is in the answer and nowhere else', async (t) => {
  const { registry, keypairs } = opened(t)
  const { keypair, privateKey } = await keypairs.create('mine', 'ed25519')
  t.match(privateKey, /^-----BEGIN OPENSSH PRIVATE KEY-----\n/)
  const secret = privateKey.split('\n')[3] ?? ''
  t.equal(secret.length, 70)
  t.notMatch(JSON.stringify(registry.keypairs.list()), secret)
  t.strictSame(keypairs.list(), [keypair])
  t.match(keypair, {
    kind: 'ssh-ed25519',
    publicKey: /^ssh-ed25519 \S+ mine$/,
    fingerprint: /^SHA256:.{43}$/,
  })
})

void t.test('names are unique and fit for URLs and documents', async (t) => {
  const { keypairs } = opened(t)
  const { keypair } = await keypairs.create('mine', 'ed25519')
  t.throws(() => keypairs.import('mine', keypair.publicKey), { code: 'NAME_TAKEN' })
  await t.rejects(keypairs.create('mine', 'rsa'), { code: 'NAME_TAKEN' })
  for (const name of ['', '-x', 'a b', 'a/b', 'x'.repeat(65), '\u00e4']) {
    t.throws(
      () => keypairs.import(name, keypair.publicKey),
      { code: 'INVALID_INPUT', message: /^name: / },
      name,
    )
  }
  t.equal(keypairs.import('theirs', keypair.publicKey).fingerprint, keypair.fingerprint)
  keypairs.delete('mine')
  t.throws(() => keypairs.get('mine'), { code: 'NOT_FOUND' })
  t.throws(() => keypairs.delete('mine'), { code: 'NOT_FOUND' })
})

void t.test('a server is given key pairs by name and bare lines, each under one name', async (t) => {
  const { keypairs } = opened(t)
  const { keypair } = await keypairs.create('mine', 'ed25519')
  await keypairs.create('key-0', 'ed25519')
  const { publicKey } = keypair
  t.strictSame(keypairs.ofServer(['mine'], ['line a', 'line b']), [
    { name: 'mine', publicKey },
    { name: 'key-0', publicKey: 'line a' },
    { name: 'key-1', publicKey: 'line b' },
  ])
  t.throws(() => keypairs.ofServer(['mine', 'mine'], []), { code: 'INVALID_INPUT', message: /^keys: "mine"/ })
  t.throws(() => keypairs.ofServer(['key-0'], ['line']), { code: 'INVALID_INPUT', message: /^keys: key-0/ })
  t.throws(() => keypairs.ofServer(['nobody'], []), { code: 'NOT_FOUND' })
})
