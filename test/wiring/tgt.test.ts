import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openRegistry } from '../../src/registry/registry.js'
import { refuseOtherTarget } from '../../src/wiring/tgt.js'
import { CLONE, fill, VOLUME } from '../registry/sample-records.js'

void t.test('a volume that went on as a raw file is served by no other target than tgtd', async (t) => {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  fill(registry)
  const dirs = { layersDir: t.testdir() }
  mkdirSync(join(dirs.layersDir, CLONE.id))
  await refuseOtherTarget('embedded', dirs, registry)
  writeFileSync(join(dirs.layersDir, CLONE.id, 'raw'), '')
  await t.rejects(refuseOtherTarget('embedded', dirs, registry), {
    code: 'CONFIG_INVALID',
    message: new RegExp(
      `^target.driver: expected "tgt", since volume ${VOLUME.name} is .*/raw, got "embedded"$`,
    ),
  })
  await refuseOtherTarget('tgt', dirs, registry)
})
