import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { networkHook } from '../../../src/firstboot/seed/network-hook.js'
import { renderSeedDisk } from '../../../src/firstboot/seed/seed-disk.js'
import { needs } from './debian-tool.js'
import { FULL_SEED } from './sample-seed.js'

const MIB = 1024 * 1024

/** The hook with every path it names moved under `root`, where partition 1 of a seed disk is the volume. */
function prepare(test: Test, agent: string): { root: string; run: () => string } {
  const root = test.testdir({ run: { 'cloud-init': {} }, var: { log: {} }, usr: { bin: {}, lib: {} } })
  const disk = renderSeedDisk({ ...FULL_SEED, networkAgent: Buffer.from(agent) })
  const folder = join(root, 'dev/disk/by-label')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'config-2'), disk.subarray(MIB, 5 * MIB))
  const script = networkHook().replaceAll(/(?<=[\s=>])\/(?=run|var|usr|dev\/disk)/g, `${root}/`)
  const file = join(root, 'hook')
  writeFileSync(file, script)
  chmodSync(file, 0o700)
  const run = (): string => {
    execFileSync(file, { timeout: 20_000, stdio: 'ignore' }) // throws on any exit code but 0
    return readFileSync(join(root, 'var/log/ingot-network.log'), 'utf8')
  }
  return { root, run }
}

const python = needs('python3')

void t.test(
  `the hook runs the program of config-2 with "apply", at every boot${python.note}`,
  python,
  (t) => {
    const padding = `# ${'x'.repeat(100_000)}\n`
    const { root, run } = prepare(t, `${padding}import sys\nprint("the agent ran:", *sys.argv[1:])\n`)
    t.match(run(), /: applying the network of the seed\nthe agent ran: apply\n$/)
    t.equal(run().match(/the agent ran: apply/g)?.length, 2)
    t.ok(readFileSync(join(root, 'run/ingot/bms-network-config'), 'utf8').startsWith(padding))
    t.end()
  },
)

void t.test(`a program that fails is logged and fails no boot${python.note}`, python, (t) => {
  t.match(prepare(t, 'raise SystemExit(7)\n').run(), /: failed with code 7\n$/)
  t.end()
})

void t.test(
  `a volume that is none, or has no program, is logged and fails no boot${python.note}`,
  python,
  (t) => {
    const { root, run } = prepare(t, 'print("the agent ran")\n')
    const volume = join(root, 'dev/disk/by-label/config-2')
    const bytes = readFileSync(volume)
    for (const broken of [
      Buffer.alloc(0),
      Buffer.alloc(100_000, 0xff),
      bytes.subarray(0, 40_000),
      Buffer.from(bytes.toString('latin1').replaceAll('INGOT', 'OTHER'), 'latin1'),
    ]) {
      writeFileSync(volume, broken)
      t.match(run(), /: failed with code 1\n$/)
    }
    t.notMatch(run(), 'the agent ran')
    t.end()
  },
)

for (const plugin of [
  'usr/lib/ingot/plugins/bms-network-config',
  'usr/bin/bms-network-config',
  'usr/bin/bms-network_config',
]) {
  void t.test(`where /${plugin} is, the hook does nothing`, (t) => {
    const { root, run } = prepare(t, 'print("the agent ran")\n')
    mkdirSync(join(root, 'usr/lib/ingot/plugins'), { recursive: true })
    writeFileSync(join(root, plugin), '')
    t.throws(run, { code: 'ENOENT' }, 'not even a log')
    t.end()
  })
}
