import t from 'tap'
import type { Clock } from '../../../src/clock.js'
import type { DaemonEvent } from '../../../src/events.js'
import { DropWatch } from '../../../src/netboot/dhcp/drop-watch.js'

void t.test('new drops are told once in ten minutes, and nothing after the stop', async (t) => {
  let [nowMs, drops] = [0, 0]
  const pending: (() => void)[] = []
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: (_ms, fn) => {
      pending.push(fn)
      return { cancel: () => undefined }
    },
  }
  const events: DaemonEvent[] = []
  const watch = new DropWatch(
    clock,
    () => Promise.resolve(drops),
    (event) => events.push(event),
  )
  watch.start()
  await watch.look()
  t.same(events, [])
  drops = 7
  await watch.look()
  drops = 12
  await watch.look()
  t.same(events, [{ kind: 'dhcp.dropped', message: '7 DHCP requests were lost in a full receive buffer' }])
  nowMs += 600_000
  await watch.look()
  t.match(events[1], { message: /^5 DHCP requests/ })
  watch.stop()
  const count = pending.length
  await watch.look()
  t.equal(pending.length, count)
  t.end()
})
