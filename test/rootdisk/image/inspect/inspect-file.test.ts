import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { inspectImageFile } from '../../../../src/rootdisk/image/inspect/inspect-file.js'
import type { Inspection } from '../../../../src/rootdisk/image/inspect/inspection.js'
import { makeDisk, missingTools } from './synthetic-disk.js'

const MISSING = missingTools()
const SKIP = { skip: MISSING !== '' }
const LIMITS = { maxSizeBytes: 2 ** 30, timeoutMs: 60_000, memoryLimitBytes: 2 ** 30 }

function inspect(dir: string, sourcePath: string): Promise<Inspection> {
  const file = {
    sourcePath,
    unpackedPath: join(dir, 'unpacked'),
    limits: LIMITS,
    onProgress: () => undefined,
  }
  return inspectImageFile(file, { scratchDir: dir })
}

void t.test(`a raw file and a qcow2 of it are judged alike${MISSING}`, SKIP, async (t) => {
  const dir = t.testdir()
  const raw = makeDisk(dir)
  const qcow2 = join(dir, 'disk.qcow2')
  execFileSync('qemu-img', ['convert', '-O', 'qcow2', '-c', raw, qcow2])
  const found = await inspect(dir, raw)
  t.equal(found.verdict, 'inic')
  t.same(await inspect(dir, qcow2), found)
})

void t.test(`a file that no import would take is not looked into${MISSING}`, SKIP, async (t) => {
  const dir = t.testdir({ 'disk.raw': 'KDMV'.padEnd(1024) })
  await t.rejects(inspect(dir, join(dir, 'disk.raw')), { code: 'IMAGE_REFUSED' })
  await t.rejects(inspect(dir, '/dev/zero'), { code: 'IMAGE_REFUSED' })
})
