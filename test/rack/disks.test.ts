import { existsSync, readdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Daemons, finished, until, type DiskAccess } from './daemons.js'
import { diskArguments, DiskSession } from './disk-session.js'

const MIB = 1 << 20
const needs = ['/usr/bin/qemu-io', '/usr/bin/iscsi-ls', '/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so']
const missing = needs.filter((path) => !existsSync(path))
const because = missing.length === 0 ? '' : ` (skipped: ${missing.join(', ')} not installed)`

/** One command line that has to be good. */
async function ingot(t: Test, daemons: Daemons, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemons.ingot(...args)
  t.equal(code, 0, `ingot ${args.join(' ')}`, { stderr })
  return stdout
}

/** One request, as `METHOD path`, that has to be refused. */
async function refused(
  t: Test,
  daemons: Daemons,
  message: RegExp,
  what: string,
  body?: object,
): Promise<void> {
  const [method = '', path = ''] = what.split(' ')
  const answer = await daemons.api(method, path, body)
  t.match(answer, { body: { error: { message } } }, `refused: ${what}`)
}

/** The session reads the patterns: `[byte, offset, length]` in qemu-io's units. */
async function reads(t: Test, session: DiskSession, ...parts: [number, string, string][]): Promise<void> {
  for (const [byte, offset, length] of parts)
    t.notMatch(await session.run(`read -P ${byte} ${offset} ${length}`), /fail/i, `${offset}: ${byte}`)
}

async function writes(t: Test, session: DiskSession, ...parts: [number, string, string][]): Promise<void> {
  for (const [byte, offset, length] of parts)
    t.match(await session.run(`write -P ${byte} ${offset} ${length}`), /^wrote/, `${byte} to ${offset}`)
}

/** Numbers of the LUNs that an initiator is shown. */
async function luns(daemons: Daemons, { iqn, initiatorIqn, user, secret }: DiskAccess): Promise<number[]> {
  const url = `iscsi://${user}%${secret}@127.0.0.1:${daemons.iscsiPort}/`
  const { stdout } = await finished(['-i', initiatorIqn, '-s', url], 'iscsi-ls')
  if (!stdout.includes(iqn)) throw new Error(`iscsi-ls: ${stdout}`)
  return [...stdout.matchAll(/Lun:(\d+)/g)].map(([, lun]) => Number(lun))
}

/** Who shows the parts of a volume that are not zeros. */
async function owners(daemons: Daemons, volume: string): Promise<string[]> {
  const { body } = await daemons.api('GET', `/volumes/${volume}/map`)
  const { extents } = body as { extents: { offset: number; length: number; of: string | null }[] }
  return extents
    .filter(({ of }) => of !== null)
    .map(({ offset, length, of }) => `${offset / MIB}+${length / MIB} ${of ?? ''}`)
}

void t.test(`the life of a data disk and of a system disk, under sessions${because}`, async (t) => {
  if (missing.length > 0) return
  const daemons = await Daemons.make(t)
  await daemons.start()
  const disk = join(daemons.dir, 'disk.raw')
  writeFileSync(disk, Buffer.alloc(MIB, 9))
  truncateSync(disk, 8 * MIB)
  t.match(await daemons.import('golden', disk), { status: 'SUCCESS' })
  const access = await daemons.server(1, 'golden')
  const login = (lun: number): Promise<DiskSession> => DiskSession.open(daemons.iscsiPort, access, lun)
  const layers = (): number => readdirSync(daemons.layersDir).length
  const before = layers()

  await t.test('the target proves itself to a server that asks it to', async (t) => {
    const { user, secret, initiatorIqn, iqn, target } = access
    const inquiry = async (wanted: string): Promise<string> => {
      const url = `iscsi://${user}%${secret}@127.0.0.1:${daemons.iscsiPort}/${iqn}/0`
      const args = ['-i', initiatorIqn, `${url}?target_user=${target.user}&target_password=${wanted}`]
      const { stdout, stderr } = await finished(args, 'iscsi-inq')
      return stdout + stderr
    }
    t.match(await inquiry(target.secret), /Vendor:INGOT/)
    t.notMatch(await inquiry('another-secret-1'), /Vendor:INGOT/)
  })

  await t.test('attached while the server is logged in', async (t) => {
    const system = await login(0)
    await ingot(t, daemons, 'volume', 'create', 'data', '--size', '64M')
    t.match(await ingot(t, daemons, 'server', 'attach', 's1', 'data'), /lun +2/)
    t.same(await luns(daemons, access), [0, 1, 2])
    await reads(t, system, [9, '0', '1M'])
    await system.close()
  })

  await t.test('snapshots under a session that writes', async (t) => {
    const session = await login(2)
    await writes(t, session, [1, '0', '2M'])
    t.match(await ingot(t, daemons, 'snapshot', 'create', 'data', 'one', '--wait'), /status +available/)
    await writes(t, session, [2, '0', '1M'])
    await ingot(t, daemons, 'snapshot', 'create', 'data', 'two', '--wait')
    await writes(t, session, [3, '4M', '1M'])
    await reads(t, session, [2, '0', '1M'], [1, '1M', '1M'], [0, '2M', '2M'], [3, '4M', '1M'])
    t.same(await owners(daemons, 'data'), ['0+1 snapshot two', '1+1 snapshot one', '4+1 volume data'])
    await refused(t, daemons, /session of server s1 is still logged in/, 'POST /volumes/data/rollback', {
      snapshot: 'one',
    })
    await ingot(t, daemons, 'volume', 'grow', 'data', '--size', '128M')
    await session.close()
    const again = await login(2)
    t.match(await again.run('length'), /^128 MiB/, 'the next login sees the size')
    await again.close()
  })

  await t.test('rolled back, and a copy that goes on from a snapshot', async (t) => {
    await ingot(t, daemons, 'volume', 'create', 'copy', '--snapshot', 'two')
    await refused(t, daemons, /two is under volume .*, volume/, 'DELETE /snapshots/two')
    await ingot(t, daemons, 'volume', 'rollback', 'data', 'one')
    const session = await login(2)
    await reads(t, session, [1, '0', '2M'], [0, '2M', '126M'])
    await ingot(t, daemons, 'server', 'attach', 's1', 'copy')
    const copy = await login(3)
    await reads(t, copy, [2, '0', '1M'], [1, '1M', '1M'], [0, '2M', '62M'])
    await copy.close()
    await session.close()
  })

  await t.test('snapshots deleted under sessions: what they held stays where it is seen', async (t) => {
    const [session, copy] = [await login(2), await login(3)]
    await writes(t, session, [4, '0', '64k'])
    await ingot(t, daemons, 'snapshot', 'delete', 'two')
    await refused(t, daemons, /volume copy, volume data|volume data, volume copy/, 'DELETE /snapshots/one')
    await ingot(t, daemons, 'volume', 'flatten', 'copy')
    t.same(await owners(daemons, 'copy'), ['0+2 volume copy'])
    await ingot(t, daemons, 'snapshot', 'delete', 'one')
    t.same(await owners(daemons, 'data'), ['0+2 volume data'])
    await reads(t, session, [4, '0', '64k'], [1, '64k', '1984k'], [0, '2M', '126M'])
    await reads(t, copy, [2, '0', '1M'], [1, '1M', '1M'], [0, '2M', '62M'])
    for (const each of [session, copy]) await each.close()
    t.equal(layers(), before + 2, 'the layers that went have no files')
  })

  await t.test('a system disk is flattened under its session; its image is verified', async (t) => {
    const listed = await ingot(t, daemons, '-o', 'value', 'volume', 'list')
    const [volume = ''] = /s1-system\S*/.exec(listed) ?? []
    const session = await login(0)
    await writes(t, session, [5, '0', '512k'])
    t.match(await ingot(t, daemons, 'volume', 'verify', volume), /golden +\[\]/)
    await ingot(t, daemons, 'volume', 'flatten', volume)
    t.match(await ingot(t, daemons, 'volume', 'map', volume), new RegExp(`^0 +${MIB} +volume ${volume}`, 'm'))
    await reads(t, session, [5, '0', '512k'], [9, '512k', '512k'], [0, '1M', '7M'])
    await session.close()
  })

  await t.test(
    'a snapshot asked for while the target process is dead is there when it is back',
    async (t) => {
      process.kill((await daemons.targetPid()) ?? 0, 'SIGKILL')
      t.match(await daemons.api('POST', '/snapshots', { volume: 'data', name: 'late' }), { status: 202 })
      await until('the snapshot is available', async () => {
        const { body } = await daemons.api('GET', '/snapshots/late')
        return (body as { status: string }).status === 'available'
      })
      const session = await login(2)
      await reads(t, session, [4, '0', '64k'], [1, '64k', '1984k'])
      await session.close()
      await ingot(t, daemons, 'snapshot', 'delete', 'late')
    },
  )

  await t.test('exported over NBD, read-only beside a session, writable alone', async (t) => {
    const socket = join(daemons.dir, 'nbd.sock')
    const overNbd = async (command: string): Promise<string> => {
      const uri = [
        '-f',
        'raw',
        ...(command.startsWith('read') ? ['-r'] : []),
        `nbd+unix:///?socket=${socket}`,
      ]
      const { stdout, stderr } = await finished([...uri, '-c', command], 'qemu-io')
      return stdout + stderr
    }
    const session = await login(2)
    await refused(t, daemons, /in use: export it read-only/, 'POST /volumes/data/nbd', {
      socket,
      writable: true,
    })
    await refused(t, daemons, /cannot make .*EACCES|ENOENT/, 'POST /volumes/data/nbd', {
      socket: '/nowhere/x',
    })
    await refused(t, daemons, /data is in use/, 'POST /volumes/data/check')
    await ingot(t, daemons, 'volume', 'export', 'data', '--nbd', socket)
    t.match(await overNbd('read -P 4 0 64k'), /^read 65536/)
    t.notMatch(await overNbd('write -P 6 0 64k'), /^wrote/, 'nobody writes beside the session')
    await session.close()
    await ingot(t, daemons, 'volume', 'export', 'data', '--stop')
    await refused(t, daemons, /data is not exported/, 'DELETE /volumes/data/nbd')
    t.notOk(existsSync(socket))
    await ingot(t, daemons, 'volume', 'export', 'data', '--nbd', socket, '--writable')
    t.match(await overNbd('write -P 6 0 64k'), /^wrote/)
    await ingot(t, daemons, 'volume', 'export', 'data', '--stop')
    const again = await login(2)
    await reads(t, again, [6, '0', '64k'], [1, '64k', '1984k'])
    await again.close()
  })

  await t.test('detached and deleted', async (t) => {
    await refused(t, daemons, /in use by server s1/, 'DELETE /volumes/data')
    for (const name of ['data', 'copy']) await ingot(t, daemons, 'server', 'detach', 's1', name)
    t.same(await luns(daemons, access), [0, 1])
    const gone = await finished(['info', ...diskArguments(daemons.iscsiPort, access, 2)], 'qemu-img')
    t.equal(gone.code, 1, 'nobody gets the LUN any more')
    t.match(await ingot(t, daemons, 'volume', 'check', 'data'), /^volume data +\[\] +2097152 /m)
    await ingot(t, daemons, 'volume', 'delete', 'data', 'copy')
    t.equal(layers(), before, 'nothing is left')
  })
})
