import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { isSamePort } from '../../../src/rootdisk/scsi/nexus.js'
import {
  isForAllRegistrants,
  isReservationState,
  isType,
  NO_RESERVATIONS,
  registrationOf,
  type ReservationState,
} from '../../../src/rootdisk/scsi/reservation-state.js'
import {
  ACTION,
  reserveOut,
  type Change,
  type ReserveRequest,
} from '../../../src/rootdisk/scsi/reserve-out.js'
import { brief } from './scsi-bench.js'

type ActionName = keyof typeof ACTION
const KEY = { none: '0'.repeat(16), a: '00000000000000aa', b: '00000000000000bb' }
const PORT = ['a', 'b', 'c'].map((name) => ({
  initiator: `iqn.2026-01.example:${name}`,
  isid: '00023d000001',
}))
const NOBODY = { initiator: '', isid: '' }

/** `who action type key newKey`, for example `0 RESERVE 1 a none`. */
function request(words: string): ReserveRequest {
  const [who = '', action = '', type = '', key = '', newKey = ''] = words.split(' ')
  const keys: Readonly<Record<string, string>> = KEY
  return {
    port: PORT[Number(who)] ?? NOBODY,
    action: ACTION[action as ActionName],
    type: Number(type),
    key: keys[key] ?? KEY.none,
    newKey: keys[newKey] ?? KEY.none,
    isPersistent: false,
  }
}

interface Told {
  readonly answers: string[]
  readonly attentions: string[]
  readonly state: ReservationState
}

/** Runs requests one after another from an empty state; attentions are those of the last. */
function play(script: readonly string[]): Told {
  let state = NO_RESERVATIONS
  let attentions: string[] = []
  const answers = script.map((words) => {
    const result = reserveOut(state, request(words))
    attentions = []
    if (!('state' in result)) return brief(result)
    state = result.state
    attentions = result.attentions.map(([port, code]) => {
      const who = PORT.findIndex((each) => isSamePort(each, port))
      return `${String(who)}: ${code.map((n) => n.toString(16)).join('/')}`
    })
    return '0'
  })
  return { answers, attentions, state }
}

const REGISTERED = ['0 REGISTER 0 none a', '1 REGISTER 0 none b']
const CONFLICT = '24'

// SPC-4 §5.13: what a request comes to after the script before it, and who is told what.
const CASES: [what: string, script: string[], answer: string, attentions: string[]][] = [
  ['a first REGISTER needs key 0', ['0 REGISTER 0 a b'], CONFLICT, []],
  ['REGISTER with the wrong old key conflicts', [...REGISTERED, '0 REGISTER 0 b a'], CONFLICT, []],
  ['REGISTER AND IGNORE takes any old key', [...REGISTERED, '0 REGISTER_AND_IGNORE 0 b b'], '0', []],
  ['RESERVE needs a registration', ['0 RESERVE 1 none none'], CONFLICT, []],
  ['RESERVE needs the right key', [...REGISTERED, '0 RESERVE 1 b none'], CONFLICT, []],
  ['RESERVE of type 2 is refused', [...REGISTERED, '0 RESERVE 2 a none'], '5/24/0', []],
  [
    'RESERVE again by its holder is good',
    [...REGISTERED, '0 RESERVE 1 a none', '0 RESERVE 1 a none'],
    '0',
    [],
  ],
  [
    'RESERVE of another type by its holder conflicts',
    [...REGISTERED, '0 RESERVE 1 a none', '0 RESERVE 3 a none'],
    CONFLICT,
    [],
  ],
  [
    'RESERVE by a second port conflicts',
    [...REGISTERED, '0 RESERVE 1 a none', '1 RESERVE 1 b none'],
    CONFLICT,
    [],
  ],
  [
    'RESERVE for all registrants is held by the second too',
    [...REGISTERED, '0 RESERVE 7 a none', '1 RESERVE 7 b none'],
    '0',
    [],
  ],
  ['RELEASE of nothing is good', [...REGISTERED, '0 RELEASE 1 a none'], '0', []],
  [
    'RELEASE with another type is refused',
    [...REGISTERED, '0 RESERVE 1 a none', '0 RELEASE 3 a none'],
    '5/26/4',
    [],
  ],
  [
    'RELEASE of an exclusive type tells nobody',
    [...REGISTERED, '0 RESERVE 1 a none', '0 RELEASE 1 a none'],
    '0',
    [],
  ],
  [
    'RELEASE of a registrants type tells the others',
    [...REGISTERED, '0 RESERVE 5 a none', '0 RELEASE 5 a none'],
    '0',
    ['1: 6/2a/4'],
  ],
  [
    'a holder that unregisters releases, and tells the others',
    [...REGISTERED, '0 RESERVE 6 a none', '0 REGISTER 0 a none'],
    '0',
    ['1: 6/2a/4'],
  ],
  ['CLEAR tells every other port', [...REGISTERED, '0 CLEAR 0 a none'], '0', ['1: 6/2a/3']],
  ['PREEMPT of key 0 is refused', [...REGISTERED, '0 PREEMPT 1 a none'], '5/26/0', []],
  ['PREEMPT of a key nobody has conflicts', ['0 REGISTER 0 none a', '0 PREEMPT 1 a b'], CONFLICT, []],
  ['PREEMPT removes a registration and tells it', [...REGISTERED, '0 PREEMPT 1 a b'], '0', ['1: 6/2a/5']],
  [
    'PREEMPT of the holder takes over and tells the rest of a new type',
    [...REGISTERED, '2 REGISTER 0 none a', '1 RESERVE 5 b none', '0 PREEMPT 1 a b'],
    '0',
    ['1: 6/2a/5', '2: 6/2a/4'],
  ],
  [
    'PREEMPT of all registrants with key 0 removes every other',
    [...REGISTERED, '1 RESERVE 8 b none', '0 PREEMPT 3 a none'],
    '0',
    ['1: 6/2a/5'],
  ],
]

for (const [what, script, answer, attentions] of CASES) {
  await t.test(`${what} (SPC-4 §5.13)`, (test) => {
    const told = play(script)
    test.equal(told.answers.at(-1), answer)
    test.same(told.attentions, attentions)
    test.end()
  })
}

await t.test('a holder may preempt itself to change the type, and stays registered', (test) => {
  const { state, answers } = play([...REGISTERED, '0 RESERVE 1 a none', '0 PREEMPT 3 a a'])
  test.equal(answers.at(-1), '0')
  test.same(state.reservation, { type: 3, holder: PORT[0] })
  test.equal(state.registrations.length, 2)
  test.end()
})

await t.test('PRGENERATION counts registrations and not reservations (SPC-4 §5.13.5)', (test) => {
  test.equal(play([...REGISTERED, '0 RESERVE 1 a none', '0 RELEASE 1 a none']).state.generation, 2)
  test.equal(play([...REGISTERED, '0 CLEAR 0 a none']).state.generation, 3)
  test.end()
})

const anyRequest = fc.record({
  port: fc.constantFrom(...PORT),
  action: fc.nat(8),
  type: fc.nat(9),
  key: fc.constantFrom(...Object.values(KEY)),
  newKey: fc.constantFrom(...Object.values(KEY)),
  isPersistent: fc.boolean(),
})

await t.test(
  'whatever is asked, a reservation has a registered holder and strangers change nothing',
  (test) => {
    fc.assert(
      fc.property(fc.array(anyRequest, { maxLength: 30 }), (requests) => {
        let state = NO_RESERVATIONS
        for (const each of requests) {
          const result = reserveOut(state, each)
          if ('state' in result) state = checked(state, each, result)
        }
      }),
      { numRuns: 3000 },
    )
    test.end()
  },
)

function checked(
  before: ReservationState,
  { port, action }: ReserveRequest,
  { state, preempted }: Change,
): ReservationState {
  const { registrations, reservation } = state
  assert.ok(isReservationState(JSON.parse(JSON.stringify(state))))
  assert.ok(registrations.every(({ key }) => key !== KEY.none))
  assert.ok(
    registrations.every((each, i) => registrations.findIndex((other) => isSamePort(each, other)) === i),
  )
  if (reservation !== undefined) {
    assert.ok(isType(reservation.type) && registrations.length > 0)
    const isHeld = registrationOf(state, reservation.holder) !== undefined
    assert.ok(isHeld || isForAllRegistrants(reservation.type))
  }
  const isRegister = action === ACTION.REGISTER || action === ACTION.REGISTER_AND_IGNORE
  if (!isRegister && registrationOf(before, port) === undefined) assert.equal(state, before)
  assert.ok(preempted.every((each) => !isSamePort(each, port)))
  return state
}
