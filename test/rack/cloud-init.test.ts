import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { renderSeed } from '../../src/firstboot/seed/seed.js'
import { vendorConfig } from '../../src/firstboot/seed/vendor-data.js'
import { FULL_SEED, SMALL_SEED } from '../firstboot/seed/sample-seed.js'
import { cloudInitCode, putFiles, python } from './cloud-init-oracle.js'

const { skip, note } = cloudInitCode

// One interpreter for all commands: starting one takes longer than the work.
const RUN_EACH =
  'import json,sys;from cloudinit.cmd.main import main;[main(a) for a in json.loads(sys.argv[1])]'

void t.test(`cloud-init finds all cloud-config of ours valid${note}`, { skip }, async (t) => {
  const folder = t.testdir()
  // The schema knows single documents only, not the archive that these are a part of.
  putFiles(folder, [
    { path: 'vendor', bytes: Buffer.from(vendorConfig(FULL_SEED)) },
    {
      path: 'vendor-without-password',
      bytes: Buffer.from(vendorConfig({ phoneHomeUrl: FULL_SEED.phoneHomeUrl })),
    },
    ...renderSeed(SMALL_SEED).noCloud.filter(({ path }) => path === 'user-data'),
  ])
  const files = readdirSync(folder)
  const commands = files.map((file) => ['cloud-init', 'schema', '--config-file', join(folder, file)])
  const said = await python(['-c', RUN_EACH, JSON.stringify(commands)])
  t.strictSame(
    said.match(/^Valid cloud-config: .*$/gm),
    commands.map((words) => `Valid cloud-config: ${words[3] ?? ''}`),
  )
  t.notMatch(said, /deprecat/i)
})
