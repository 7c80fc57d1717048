import { EventEmitter } from 'node:events'
import t from 'tap'
import type { RunningProcess } from '../../../../src/command.js'
import type { FromWorker, ToWorker } from '../../../../src/rootdisk/target/workers/messages.js'
import { WorkerProcess } from '../../../../src/rootdisk/target/workers/worker-process.js'
import { ManualClock } from '../../../fakes/manual-clock.js'

/** A process that does what a test tells it to. */
class FakeProcess extends EventEmitter {
  readonly told: ToWorker[] = []
  readonly signals: string[] = []

  send(message: ToWorker): boolean {
    this.told.push(message)
    return true
  }

  kill(signal: string): boolean {
    this.signals.push(signal)
    return true
  }

  say(message: FromWorker): void {
    this.emit('message', message)
  }

  die(): void {
    this.emit('exit', null, 'SIGKILL')
  }
}

function bench(): { clock: ManualClock; worker: WorkerProcess; processes: FakeProcess[]; deaths: boolean[] } {
  const clock = new ManualClock()
  const processes: FakeProcess[] = []
  const deaths: boolean[] = []
  const worker = new WorkerProcess({
    clock,
    begin: () => {
      const child = new FakeProcess()
      processes.push(child)
      return child as unknown as RunningProcess // what a worker process uses of it is there
    },
    onMessage: () => undefined,
    onDeath: (_how, isLast) => deaths.push(isLast),
  })
  return { clock, worker, processes, deaths }
}

void t.test('a call is answered by what the process says, or fails with its code', async (t) => {
  const { worker, processes } = bench()
  const started = worker.start()
  processes[0]?.say({ kind: 'ready' })
  await started
  const good = worker.call('endShare', 'v')
  const bad = worker.call('map', 'v', 7)
  await new Promise(setImmediate)
  t.match(processes[0]?.told, [
    { kind: 'call', id: 1, name: 'endShare', args: ['v'] },
    { kind: 'call', id: 2, name: 'map', args: ['v', 7] },
  ])
  processes[0]?.say({ kind: 'failure', id: 2, failure: { code: 'DISK_FAILED', message: 'no' } })
  processes[0]?.say({ kind: 'answer', id: 1, value: true })
  t.equal(await good, true)
  await t.rejects(bad, { code: 'DISK_FAILED', message: 'no' })
})

void t.test('what a process that dies was asked fails; what comes waits for the next one', async (t) => {
  const { worker, processes, clock } = bench()
  const started = worker.start()
  processes[0]?.say({ kind: 'ready' })
  await started
  const lost = worker.call('status')
  await new Promise(setImmediate)
  processes[0]?.die()
  await t.rejects(lost, { code: 'TARGET_UNAVAILABLE' })
  const late = worker.call('endShare', 'v')
  clock.advance(0)
  t.equal(processes.length, 2, 'it is started again at once')
  processes[1]?.say({ kind: 'ready' })
  await new Promise(setImmediate)
  processes[0]?.say({ kind: 'answer', id: 2, value: true })
  processes[1]?.say({ kind: 'answer', id: 2, value: false })
  t.equal(await late, false, 'the dead one is not listened to')
})

void t.test('nobody waits for ever for a process that does not come up', async (t) => {
  const { worker, clock } = bench()
  const started = worker.start()
  clock.advance(10_000)
  await t.rejects(started, { code: 'TARGET_UNAVAILABLE' })
})

void t.test('ten deaths in a minute are mended, the eleventh is the last', (t) => {
  const { worker, processes, clock, deaths } = bench()
  worker.start().catch(() => undefined)
  for (let death = 0; death < 11; death++) {
    processes.at(-1)?.die()
    clock.advance(2000)
  }
  t.same(deaths, [...Array<boolean>(10).fill(false), true])
  t.equal(processes.length, 11, 'it is not started after that')
  t.end()
})

void t.test('deaths that are long ago do not count', (t) => {
  const { worker, processes, clock, deaths } = bench()
  worker.start().catch(() => undefined)
  for (let death = 0; death < 30; death++) {
    processes.at(-1)?.die()
    clock.advance(10_000)
  }
  t.notOk(deaths.includes(true))
  t.end()
})

void t.test('a process that does not end when it is told to is killed', async (t) => {
  const { worker, processes, clock } = bench()
  const started = worker.start()
  processes[0]?.say({ kind: 'ready' })
  await started
  const stopped = worker.stop()
  clock.advance(5000)
  await new Promise(setImmediate)
  t.same(processes[0]?.signals, ['SIGTERM', 'SIGKILL'])
  processes[0]?.die()
  await stopped
  clock.advance(60_000)
  t.equal(processes.length, 1, 'and not started again')
})

void t.test('a process that hangs is killed and another one started; one that answers is not', async (t) => {
  const { worker, processes, clock, deaths } = bench()
  const started = worker.start()
  processes[0]?.say({ kind: 'ready' })
  await started
  for (let ping = 1; ping <= 10; ping++) {
    clock.advance(5000)
    t.equal(processes[0]?.told.length, ping)
    processes[0]?.say({ kind: 'pong' })
  }
  t.same(processes[0]?.signals, [])
  for (let ping = 0; ping < 4; ping++) clock.advance(5000)
  t.same(processes[0]?.signals, ['SIGKILL'], 'three questions without an answer')
  processes[0]?.die()
  clock.advance(0)
  t.same(deaths, [false])
  t.equal(processes.length, 2)
})
