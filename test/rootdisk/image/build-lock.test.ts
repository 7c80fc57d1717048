import { readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { lockBuild } from '../../../src/rootdisk/image/build-lock.js'

void t.test('the second builder waits until the first gives up the lock', async (t) => {
  const dir = t.testdir()
  const lock = path.join(dir, 'x.lock')
  const first = await lockBuild(lock)
  let held = true
  const second = lockBuild(lock).then((unlock) => {
    t.notOk(held, 'only after the first')
    return unlock()
  })
  await new Promise((resolve) => setImmediate(resolve))
  held = false
  await first()
  await second
  t.same(readdirSync(dir), [])
})

void t.test('the lock of a process that is gone is taken over', async (t) => {
  const dir = t.testdir()
  const lock = path.join(dir, 'x.lock')
  writeFileSync(lock, `${String(2 ** 22 + 1)}\n`) // above the kernel's largest pid
  const unlock = await lockBuild(lock)
  await unlock()
  t.same(readdirSync(dir), [])
})

void t.test('a waiting builder stops when told to', async (t) => {
  const dir = t.testdir()
  const lock = path.join(dir, 'x.lock')
  const unlock = await lockBuild(lock)
  await t.rejects(lockBuild(lock, AbortSignal.timeout(20)), { name: /AbortError|TimeoutError/ })
  await unlock()
  t.same(readdirSync(dir), [])
})
