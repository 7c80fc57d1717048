import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { TargetSpec } from '../../../src/rootdisk/export.js'
import { chapResponse, parseBinary } from '../../../src/rootdisk/iscsi/chap.js'
import { IssuedChallenges } from '../../../src/rootdisk/iscsi/chap-login.js'
import { LoginExchange } from '../../../src/rootdisk/iscsi/login.js'
import { LOGIN_STATUS, LoginRefused } from '../../../src/rootdisk/iscsi/login-refused.js'
import { decodeLoginRequest, type LoginRequest } from '../../../src/rootdisk/iscsi/login-pdu.js'
import { MalformedPacket } from '../../../src/wire/malformed-packet.js'

const IQN = 'iqn.2026-01.example:web-1'
const HOST = 'iqn.2026-01.example:host-1'
const NAMES = `InitiatorName=${HOST}\0TargetName=${IQN}\0`
const CHAP = { user: 'web-1', secret: 'correct horse' }
const SECURITY_TO_OPERATIONAL = 0x81
const OPERATIONAL_TO_FULL = 0x87

function exchange(chap?: TargetSpec['chap']): LoginExchange {
  const target: TargetSpec = { iqn: IQN, initiatorIqn: HOST, chap, luns: [] }
  return new LoginExchange((iqn) => (iqn === IQN ? target : undefined), new IssuedChallenges())
}

function request(flags: number, more: Partial<LoginRequest> = {}): LoginRequest {
  const header = new Uint8Array(48)
  header.set([0x43, flags])
  return { ...decodeLoginRequest(header), ...more }
}

/** Status with which a step is refused, 0 when it is not. */
function statusOf(step: () => unknown): number {
  try {
    step()
    return 0
  } catch (err) {
    if (err instanceof LoginRefused) return err.status
    throw err
  }
}

const REFUSALS: [what: string, text: string, more: Partial<LoginRequest>, status: number][] = [
  ['no initiator name', `TargetName=${IQN}\0`, {}, LOGIN_STATUS.MISSING_PARAMETER],
  [
    'an initiator name that is none',
    `InitiatorName=host\0TargetName=${IQN}\0`,
    {},
    LOGIN_STATUS.INITIATOR_ERROR,
  ],
  ['no target name', `InitiatorName=${HOST}\0`, {}, LOGIN_STATUS.MISSING_PARAMETER],
  ['an unknown target', `InitiatorName=${HOST}\0TargetName=${IQN}0\0`, {}, LOGIN_STATUS.NOT_FOUND],
  ['another initiator', `InitiatorName=${HOST}0\0TargetName=${IQN}\0`, {}, LOGIN_STATUS.NOT_AUTHORIZED],
  ['a newer protocol', NAMES, { versionMin: 1 }, LOGIN_STATUS.UNSUPPORTED_VERSION],
  ['a second connection', NAMES, { tsih: 5 }, LOGIN_STATUS.NO_SUCH_SESSION],
  ['a session type that is none', `${NAMES}SessionType=Other\0`, {}, LOGIN_STATUS.SESSION_TYPE_NOT_SUPPORTED],
  [
    'a key negotiated twice',
    `${NAMES}MaxBurstLength=512\0MaxBurstLength=1024\0`,
    {},
    LOGIN_STATUS.INITIATOR_ERROR,
  ],
]

for (const [what, text, more, status] of REFUSALS) {
  await t.test(`a login with ${what} is refused with status ${status.toString(16)}`, (test) => {
    const step = (): unknown => exchange().step(request(OPERATIONAL_TO_FULL, more), Buffer.from(text))
    test.equal(statusOf(step), status)
    test.end()
  })
}

await t.test('names are compared in lower case, a discovery session needs no target', (test) => {
  const login = exchange()
  test.equal(
    login.step(
      request(OPERATIONAL_TO_FULL),
      Buffer.from(
        NAMES.toUpperCase().replaceAll('INITIATORNAME', 'InitiatorName').replace('TARGETNAME', 'TargetName'),
      ),
    ).isDone,
    true,
  )
  const discovery = exchange(CHAP)
  const text = Buffer.from(`InitiatorName=${HOST}\0SessionType=Discovery\0`)
  test.equal(discovery.step(request(OPERATIONAL_TO_FULL), text).isDone, true)
  test.equal(discovery.isDiscovery, true)
  test.end()
})

await t.test('text over several requests is one text (RFC 7143 §6.2)', (test) => {
  const login = exchange()
  const text = Buffer.from(`${NAMES}MaxBurstLength=4096\0`)
  for (const byte of text.subarray(0, -1)) {
    const step = login.step(request(0x44), Buffer.of(byte))
    test.same([step.isTransit, step.text.length], [false, 0])
  }
  const last = login.step(request(OPERATIONAL_TO_FULL), text.subarray(-1))
  test.match(Buffer.from(last.text).toString(), /TargetPortalGroupTag=1\0MaxBurstLength=4096\0/)
  test.equal(login.parameters.firstBurstLength, 4096, 'never more than MaxBurstLength')
  test.end()
})

await t.test(
  'an answer longer than 8192 bytes is told in parts, and the stage is left with the last',
  (test) => {
    const login = exchange()
    const keys = Array.from({ length: 700 }, (_, i) => `X-key-${String(i)}=1\0`).join('')
    let step = login.step(request(OPERATIONAL_TO_FULL), Buffer.from(NAMES + keys))
    const parts = [step.text]
    while (step.isContinued) {
      test.same([step.text.length, step.isTransit, step.isDone], [8192, false, false])
      step = login.step(request(OPERATIONAL_TO_FULL), Buffer.alloc(0))
      parts.push(step.text)
    }
    test.same([step.isTransit, step.isDone], [true, true])
    const text = Buffer.concat(parts).toString()
    test.equal(text.split('=NotUnderstood\0').length - 1, 700)
    test.end()
  },
)

await t.test('text without end is refused', (test) => {
  const login = exchange()
  const piece = Buffer.alloc(8192, 'a')
  for (let i = 0; i < 8; i++) login.step(request(0x44), piece)
  test.equal(
    statusOf(() => login.step(request(0x44), piece)),
    LOGIN_STATUS.INITIATOR_ERROR,
  )
  test.end()
})

await t.test('a CHAP challenge is good for one answer, of the right user, one way', (test) => {
  const answers: [name: string, more: string, status: number][] = [
    [CHAP.user, '', 0],
    ['other', '', LOGIN_STATUS.AUTHENTICATION_FAILED],
    [CHAP.user, 'CHAP_I=1\0CHAP_C=0x00\0', LOGIN_STATUS.AUTHENTICATION_FAILED],
  ]
  for (const [name, more, status] of answers) {
    const login = exchange(CHAP)
    login.step(request(SECURITY_TO_OPERATIONAL), Buffer.from(`${NAMES}AuthMethod=CHAP\0`))
    const challenge = Buffer.from(login.step(request(0), Buffer.from('CHAP_A=5\0')).text).toString()
    const id = Number(/CHAP_I=(\d+)/.exec(challenge)?.[1])
    const bytes = parseBinary(/CHAP_C=(\w+)/.exec(challenge)?.[1] ?? '') ?? Buffer.alloc(0)
    const proof = chapResponse(id, CHAP.secret, bytes).toString('hex')
    const answer = Buffer.from(`CHAP_N=${name}\0CHAP_R=0x${proof}\0${more}`)
    test.equal(
      statusOf(() => login.step(request(SECURITY_TO_OPERATIONAL), answer)),
      status,
    )
    test.equal(
      statusOf(() => login.step(request(SECURITY_TO_OPERATIONAL), answer)) === 0,
      false,
      'not a second time',
    )
  }
  test.end()
})

await t.test('whatever an initiator says, it gets no further than a wrong secret lets it', (test) => {
  const word = fc.constantFrom(
    NAMES,
    'AuthMethod=CHAP,None\0',
    'AuthMethod=None\0',
    'CHAP_A=5\0',
    'CHAP_N=web-1\0CHAP_R=0x00112233445566778899aabbccddeeff\0',
    'SessionType=Normal\0',
    'MaxBurstLength=512\0',
    'X-a=b\0',
    '\0',
  )
  const flags = fc.constantFrom(0x00, 0x04, 0x40, 0x44, 0x81, 0x83, 0x87)
  const step = fc.tuple(
    flags,
    fc.oneof(
      fc.array(word, { maxLength: 4 }).map((all) => all.join('')),
      fc.string(),
    ),
  )
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      const login = exchange(CHAP)
      try {
        login.step(request(0x00), Buffer.from(NAMES))
        for (const [bits, text] of steps)
          assert.equal(login.step(request(bits), Buffer.from(text)).isDone, false)
      } catch (err) {
        if (!(err instanceof LoginRefused || err instanceof MalformedPacket)) throw err
      }
    }),
    { numRuns: 500 },
  )
  test.end()
})
