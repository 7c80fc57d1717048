import type { Test } from 'tap'
import t from 'tap'
import { CHAP_MD5, chapResponse, parseBinary } from '../../../src/rootdisk/iscsi/chap.js'
import { Initiator } from '../../fakes/initiator.js'
import { bench, HOST, IQN, type Bench } from './bench.js'

const CHAP = { user: 'web-1', secret: 'correct horse' }
const MUTUAL = { user: 'target', secret: 'battery staple' }
const OURS = Buffer.from('0123456789abcdef')

/** What an initiator sends for CHAP, and the last status. */
interface Proof {
  readonly name?: string
  readonly secret?: string
  /** Keys besides, made from the target's challenge. */
  readonly more?: (keys: ReadonlyMap<string, string>) => string[]
}

function keysOf(data: Buffer | undefined): Map<string, string> {
  const pairs = (data?.toString() ?? '').split('\0').filter((pair) => pair !== '')
  return new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
}

async function prove(test: Test, served: Bench, proof: Proof): Promise<[number, Map<string, string>]> {
  const initiator = new Initiator(served.portal.port)
  test.teardown(() => {
    initiator.close()
  })
  await initiator.login(`InitiatorName=${HOST}\0TargetName=${IQN}\0AuthMethod=CHAP,None\0`, 0x81)
  const keys = keysOf((await initiator.login(`CHAP_A=${CHAP_MD5}\0`, 0x00))?.data)
  const { name = CHAP.user, secret = CHAP.secret, more = () => [] } = proof
  const challenge = parseBinary(keys.get('CHAP_C') ?? '') ?? Buffer.alloc(0)
  const answer = chapResponse(Number(keys.get('CHAP_I')), secret, challenge)
  const text = [`CHAP_N=${name}`, `CHAP_R=0x${answer.toString('hex')}`, ...more(keys)]
  const reply = await initiator.login(`${text.join('\0')}\0`, 0x83)
  const status = reply?.header.readUInt16BE(36) ?? -1
  if (status !== 0) await initiator.closed
  return [status, keysOf(reply?.data)]
}

const challenge = (): string[] => ['CHAP_I=200', `CHAP_C=0x${OURS.toString('hex')}`]

await t.test('a target proves itself to an initiator that asks for it (RFC 7143 §12.1.3)', async (test) => {
  const served = await bench(test, { chap: CHAP, mutual: MUTUAL })
  const [status, keys] = await prove(test, served, { more: challenge })
  test.equal(status, 0)
  test.equal(keys.get('CHAP_N'), MUTUAL.user)
  test.equal(keys.get('CHAP_R'), `0x${chapResponse(200, MUTUAL.secret, OURS).toString('hex')}`)
})

await t.test('an initiator that does not ask is let in without a proof', async (test) => {
  const served = await bench(test, { chap: CHAP, mutual: MUTUAL })
  const [status, keys] = await prove(test, served, {})
  test.same([status, keys.has('CHAP_R')], [0, false])
})

const REFUSALS: [what: string, proof: Proof, check: RegExp, mutual?: typeof MUTUAL][] = [
  ['a wrong secret', { secret: 'wrong horse' }, /: CHAP secret \(/],
  ['a wrong secret and a challenge', { secret: 'wrong horse', more: challenge }, /: CHAP secret \(/],
  ['a wrong user name', { name: 'web-2' }, /: CHAP user name \(/],
  [
    "the target's own challenge",
    { more: (keys) => [`CHAP_I=${keys.get('CHAP_I') ?? ''}`, `CHAP_C=${keys.get('CHAP_C') ?? ''}`] },
    /CHAP reflection: the challenge is one of ours/,
  ],
  ["the target's own response", { secret: MUTUAL.secret }, /CHAP reflection: the response was made with/],
  ['an identifier above 255', { more: () => ['CHAP_I=256', 'CHAP_C=0x00'] }, /CHAP_I or CHAP_C is none/],
  ['a challenge that is no number', { more: () => ['CHAP_I=1', 'CHAP_C=zz'] }, /CHAP_I or CHAP_C is none/],
]

for (const [what, proof, check] of REFUSALS) {
  await t.test(`a login with ${what} is refused, with one event`, async (test) => {
    const served = await bench(test, { chap: CHAP, mutual: MUTUAL })
    const [status, keys] = await prove(test, served, proof)
    test.equal(status, 0x0201)
    test.equal(keys.has('CHAP_R'), false, 'the target gives no answer')
    test.equal(served.events.length, 1)
    test.match(served.events[0], { kind: 'iscsi.login-failed', iqn: IQN, message: check })
    test.ok(served.events[0]?.message.includes(HOST))
  })
}

await t.test('a challenge of another login under way is refused as reflection', async (test) => {
  const served = await bench(test, { chap: CHAP, mutual: MUTUAL })
  const victim = new Initiator(served.portal.port)
  test.teardown(() => {
    victim.close()
  })
  await victim.login(`InitiatorName=${HOST}\0TargetName=${IQN}\0AuthMethod=CHAP\0`, 0x81)
  const issued = keysOf((await victim.login('CHAP_A=5\0', 0x00))?.data).get('CHAP_C') ?? ''
  const [status] = await prove(test, served, { more: () => ['CHAP_I=1', `CHAP_C=${issued}`] })
  test.equal(status, 0x0201)
  test.match(served.events, [{ message: /CHAP reflection: the challenge is one of ours/ }])
})

await t.test('the same secret in both directions lets nobody in, with one event', async (test) => {
  const served = await bench(test, { chap: CHAP, mutual: { ...MUTUAL, secret: CHAP.secret } })
  const initiator = new Initiator(served.portal.port)
  await initiator.login(`InitiatorName=${HOST}\0TargetName=${IQN}\0AuthMethod=CHAP\0`, 0x81)
  const reply = await initiator.login('CHAP_A=5\0', 0x00)
  test.equal(reply?.header.readUInt16BE(36), 0x0201)
  await initiator.closed
  test.match(served.events, [{ message: /secrets of both directions are the same/ }])
})

await t.test('a challenge where no mutual secret is configured is refused, with one event', async (test) => {
  const served = await bench(test, { chap: CHAP })
  test.equal((await prove(test, served, { more: challenge }))[0], 0x0201)
  test.match(served.events, [{ message: /mutual CHAP is asked for and not configured/ }])
  test.equal(served.events.length, 1)
})

const NAMES: [what: string, target: string, initiator: string, status: number, check: RegExp][] = [
  ['another initiator', IQN, 'iqn.2026-01.example:stranger', 0x0202, /initiator name is not the one bound/],
  [
    "another server's target",
    'iqn.2026-01.example:other',
    HOST,
    0x0202,
    /initiator name is not the one bound/,
  ],
  ['no target of ours', 'iqn.2026-01.example:none', HOST, 0x0203, /no target of that name/],
]

for (const [what, target, name, status, check] of NAMES) {
  await t.test(`a login that names ${what} is refused before CHAP, with one event`, async (test) => {
    const served = await bench(test, { chap: CHAP, mutual: MUTUAL })
    const initiator = new Initiator(served.portal.port)
    const reply = await initiator.login(
      `InitiatorName=${name}\0TargetName=${target}\0AuthMethod=CHAP\0`,
      0x81,
    )
    test.equal(reply?.header.readUInt16BE(36), status)
    await initiator.closed
    test.match(served.events, [{ kind: 'iscsi.login-failed', iqn: target, message: check }])
    test.equal(served.events.length, 1)
  })
}
