import t from 'tap'
import { PatientListener } from '../../src/http/patient-listener.js'
import type { Service } from '../../src/service.js'
import { ManualClock } from '../fakes/manual-clock.js'

/** Refuses to start with each of `codes`, then starts. */
function listenerThat(codes: string[]): { listener: Service; calls: string[] } {
  const calls: string[] = []
  const start = (): Promise<void> => {
    const code = codes.shift()
    calls.push(code ?? 'started')
    return code === undefined ? Promise.resolve() : Promise.reject(Object.assign(new Error(code), { code }))
  }
  const stop = (): Promise<void> => {
    calls.push('stopped')
    return Promise.resolve()
  }
  return { listener: { name: 'http-x', start, stop }, calls }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

void t.test('an address that is not there is told once and waited for', async (t) => {
  const { listener, calls } = listenerThat(['EADDRNOTAVAIL', 'EADDRINUSE'])
  const clock = new ManualClock()
  const told: string[] = []
  const patient = new PatientListener({ listener, clock, onRefused: ({ message }) => told.push(message) })
  await patient.start((cause) => t.fail(cause.message))
  for (let round = 0; round < 3; round++) {
    clock.advance(5000)
    await settled()
  }
  t.same(calls, ['EADDRNOTAVAIL', 'EADDRINUSE', 'started'])
  t.same(told, ['EADDRNOTAVAIL'])
  await patient.stop()
  t.equal(calls.at(-1), 'stopped')
})

void t.test('once stopped it does not start', async (t) => {
  const { listener, calls } = listenerThat(['EADDRNOTAVAIL'])
  const clock = new ManualClock()
  const patient = new PatientListener({ listener, clock, onRefused: () => undefined })
  await patient.start((cause) => t.fail(cause.message))
  await patient.stop()
  clock.advance(60_000)
  await settled()
  t.same(calls, ['EADDRNOTAVAIL', 'stopped'])
})

void t.test('any other failure is one, at the start and later', async (t) => {
  const clock = new ManualClock()
  const first = new PatientListener({
    listener: listenerThat(['EMFILE']).listener,
    clock,
    onRefused: () => undefined,
  })
  await t.rejects(
    first.start(() => undefined),
    { code: 'EMFILE' },
  )
  const { listener } = listenerThat(['EADDRNOTAVAIL', 'EMFILE'])
  const later = new PatientListener({ listener, clock, onRefused: () => undefined })
  const fatal: Error[] = []
  await later.start((cause) => fatal.push(cause))
  clock.advance(5000)
  await settled()
  t.match(fatal, [{ code: 'EMFILE' }])
})
