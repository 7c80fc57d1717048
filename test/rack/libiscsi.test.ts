import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/clock.js'
import { CommandFailed, runCommand } from '../../src/command.js'
import { IscsiPortal } from '../../src/rootdisk/iscsi/portal.js'
import { MemoryDisk } from '../fakes/memory-disk.js'

const IQN = 'iqn.2026-01.example:suite'
async function serve(
  test: Test,
  initiatorIqn: string,
  chap?: { user: string; secret: string },
  mutual?: { user: string; secret: string },
): Promise<[string, MemoryDisk]> {
  const disk = new MemoryDisk(32 << 20)
  const luns = [{ lun: 0, naa: '3000000000000001', serial: 'suite', open: () => Promise.resolve(disk) }]
  const target = { iqn: IQN, initiatorIqn, chap, luns, ...(mutual === undefined ? {} : { mutual }) }
  const portal = new IscsiPortal(
    { host: '127.0.0.1', port: 0 },
    {
      targets: { find: (iqn) => (iqn === IQN ? target : undefined), list: () => [target] },
      emit: () => undefined,
      clock: systemClock,
      log: pino({ level: 'silent' }),
    },
  )
  await portal.start((cause) => {
    throw cause
  })
  test.teardown(() => portal.stop())
  const credentials = chap === undefined ? '' : `${chap.user}%${chap.secret}@`
  return [`iscsi://${credentials}127.0.0.1:${String(portal.port)}`, disk]
}

async function output(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await runCommand(program, args, { timeoutMs: 60_000 })
    return stdout + stderr
  } catch (err) {
    if (err instanceof CommandFailed) return `${err.message}\n${err.result.stdout}\n${err.result.stderr}`
    throw err
  }
}

const hasSuite = existsSync('/usr/bin/iscsi-test-cu')
await t.test(
  `iscsi-ls and iscsi-inq see the target${hasSuite ? '' : ' (skipped: libiscsi-bin is not installed)'}`,
  async (test) => {
    if (!hasSuite) return
    const [url] = await serve(test, 'iqn.2026-01.example:looker')
    const name = ['-i', 'iqn.2026-01.example:looker']
    test.match(await output('iscsi-ls', [...name, `${url}/`]), new RegExp(`Target:${IQN}`))
    test.match(await output('iscsi-inq', [...name, `${url}/${IQN}/0`]), /Vendor:INGOT/)
    test.notMatch(await output('iscsi-ls', ['-i', 'iqn.2026-01.example:stranger', `${url}/`]), /Target:/)
  },
)

await t.test(
  `iscsi-inq and the target prove themselves to each other${hasSuite ? '' : ' (skipped: libiscsi-bin is not installed)'}`,
  async (test) => {
    if (!hasSuite) return
    const name = 'iqn.2026-01.example:looker'
    const mutual = { user: 'target', secret: 'battery-staple' }
    const [url] = await serve(test, name, { user: 'suite', secret: 'correct-horse' }, mutual)
    const asked = (secret: string): string => `${url}/${IQN}/0?target_user=target&target_password=${secret}`
    test.match(await output('iscsi-inq', ['-i', name, asked(mutual.secret)]), /Vendor:INGOT/)
    test.match(await output('iscsi-inq', ['-i', name, asked('another-secret')]), /failed/i)
  },
)

const hasQemu = existsSync('/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so')
await t.test(
  `qemu-img copies in and out with CHAP, back under header digests${hasQemu ? '' : ' (skipped: qemu-block-extra is not installed)'}`,
  async (test) => {
    if (!hasQemu) return
    const name = 'iqn.2008-11.org.linux-kvm:suite'
    const [url, disk] = await serve(test, name, { user: 'suite', secret: 'correct-horse' })
    const directory = test.testdir({})
    const [from, back] = [join(directory, 'in.raw'), join(directory, 'out.raw')]
    const bytes = Buffer.alloc(32 << 20)
    for (let at = 1 << 20; at < 9 << 20; at += 4) bytes.writeUInt32LE((at * 2654435761) % 2 ** 32, at)
    writeFileSync(from, bytes)
    const port = new URL(url.replace('iscsi:', 'http:')).port
    const image = (secret: string, digest = 'none'): string =>
      `driver=iscsi,transport=tcp,header-digest=${digest},portal=127.0.0.1:${port},target=${IQN},lun=0,user=suite,password-secret=${secret},initiator-name=${name}`
    const secret = ['--object', 'secret,id=s,data=correct-horse']
    const copyIn = ['convert', ...secret, '-n', '-f', 'raw', '--target-image-opts', from, image('s')]
    await runCommand('qemu-img', copyIn, { timeoutMs: 60_000 })
    test.equal(hash(disk.bytes), hash(bytes), 'what the target has')
    await runCommand(
      'qemu-img',
      ['convert', ...secret, '--image-opts', image('s', 'crc32c'), '-O', 'raw', back],
      {
        timeoutMs: 60_000,
      },
    )
    test.equal(hash(readFileSync(back)), hash(bytes), 'what came back')
  },
)

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
