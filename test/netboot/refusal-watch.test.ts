import t from 'tap'
import { RefusalWatch } from '../../src/netboot/refusal-watch.js'
import { ManualClock } from '../fakes/manual-clock.js'

void t.test('a firmware that fetched its loader and asks again at once refused it', (t) => {
  const watch = new RefusalWatch(new ManualClock())
  t.equal(watch.asks('s', 'snponly.efi'), undefined, 'DISCOVER')
  t.equal(watch.asks('s', 'snponly.efi'), undefined, 'REQUEST')
  watch.onStage('s', 'dhcp')
  watch.onStage('s', 'loader')
  t.equal(watch.asks('s', 'snponly.efi'), 'snponly.efi')
  t.equal(watch.asks('s', 'snponly.efi'), undefined, 'told once for each fetch')
  watch.onStage('s', 'loader')
  t.equal(watch.asks('s', undefined), 'snponly.efi', 'also when it gets no other loader now')
  t.equal(watch.asks('s', undefined), undefined)
  t.end()
})

void t.test('a loader that runs, and a machine that is started anew, are no refusal', (t) => {
  const watch = new RefusalWatch(new ManualClock())
  const fetched = (): void => {
    watch.asks('s', 'snponly.efi')
    watch.onStage('s', 'loader')
  }
  fetched()
  watch.ran('s')
  t.equal(watch.asks('s', 'snponly.efi'), undefined, 'iPXE asked')
  for (const stage of ['powered-on', 'script', 'kernel-login'] as const) {
    fetched()
    watch.onStage('s', stage)
    t.equal(watch.asks('s', 'snponly.efi'), undefined, stage)
  }
  t.end()
})

void t.test('a firmware that asks much later was reset', (t) => {
  const clock = new ManualClock()
  const watch = new RefusalWatch(clock)
  watch.asks('s', 'snponly.efi')
  watch.onStage('s', 'loader')
  clock.advance(120_000)
  t.equal(watch.asks('s', 'snponly.efi'), undefined)
  t.end()
})

void t.test('a loader that was never fetched whole is not refused', (t) => {
  const watch = new RefusalWatch(new ManualClock())
  watch.onStage('s', 'loader')
  t.equal(watch.asks('s', 'snponly.efi'), undefined)
  t.equal(watch.asks('s', 'snponly.efi'), undefined)
  t.end()
})
