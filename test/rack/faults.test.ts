import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, symlinkSync, truncateSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { qcow2Bytes } from '../rootdisk/image/qcow2-bytes.js'
import { Daemons, finished, type DiskAccess } from './daemons.js'

const MIB = 1 << 20
const isThere = async (program: string): Promise<boolean> => (await finished([program], 'which')).code === 0
const hasQemu = await isThere('qemu-img')
const qemu = hasQemu ? {} : { skip: 'qemu-img is not installed' }
const canMount = (await finished(['-m', 'true'], 'unshare')).code === 0 && process.getuid?.() === 0
const tmpfs = canMount && hasQemu ? {} : { skip: 'needs root, mount(2) and qemu-img' }

/** A state directory of `mib` MiB. */
function smallDisk(t: Test, daemons: Daemons, mib: number): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'none', daemons.stateDir])
  t.teardown(async () => {
    await daemons.stop()
    execFileSync('umount', [daemons.stateDir])
  })
}

/** A file whose every MiB is different and not zero. */
function dataFile(daemons: Daemons, name: string, mib: number): string {
  const path = join(daemons.dir, name)
  for (let i = 0; i < mib; i++)
    writeFileSync(path, Buffer.alloc(MIB, `block ${i} of ${name}. `), { flag: 'a' })
  return path
}

async function nothingLeft(t: Test, daemons: Daemons, images: readonly string[] = []): Promise<void> {
  const { body } = await daemons.api('GET', '/images')
  const names = (body as { images: { name: string }[] }).images.map(({ name }) => name)
  t.same(names, images, 'no image is listed that is none')
  t.equal(readdirSync(daemons.layersDir).length, images.length, 'no layer directory is left')
}

function qemuIo(daemons: Daemons, disk: DiskAccess, ...commands: string[]): ReturnType<typeof finished> {
  const options = {
    driver: 'iscsi',
    transport: 'tcp',
    portal: `127.0.0.1:${daemons.iscsiPort}`,
    target: disk.iqn,
    lun: '0',
    user: disk.user,
    'password-secret': 'chap',
    'initiator-name': disk.initiatorIqn,
  }
  const text = Object.entries(options).map(([key, value]) => `${key}=${value}`)
  const secret = ['--object', `secret,id=chap,data=${disk.secret}`]
  const flags = commands.flatMap((command) => ['-c', command])
  return finished([...secret, '--image-opts', text.join(','), ...flags], 'qemu-io')
}

void t.test('hostile, damaged and missing image files: the job fails with the reason', qemu, async (t) => {
  const daemons = await Daemons.make(t)
  await daemons.start()
  const at = (name: string): string => join(daemons.dir, name)
  writeFileSync(at('backing'), qcow2Bytes({ backingName: '/etc/passwd' }))
  writeFileSync(at('outside'), qcow2Bytes({ features: 4n, extensions: [[0x44415441, '/etc/passwd']] }))
  writeFileSync(at('corrupt'), qcow2Bytes({ features: 2n }))
  writeFileSync(at('huge'), qcow2Bytes({ sizeBytes: 1n << 62n }))
  writeFileSync(at('header'), Buffer.from('QFI\xfb', 'latin1'))
  writeFileSync(at('vmdk'), Buffer.alloc(65536, 'KDMV'))
  writeFileSync(at('empty'), '')
  symlinkSync('/etc/passwd', at('link'))
  const raw = dataFile(daemons, 'raw', 4)
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, at('truncated')])
  truncateSync(at('truncated'), 3 * 65536)
  const cases: [string, RegExp][] = [
    ['backing', /needs a backing file/],
    ['outside', /keeps its data in another file/],
    ['corrupt', /marked corrupt/],
    ['huge', /more than the \d+ allowed/],
    ['header', /truncated|short|header|ends/],
    ['vmdk', /not a format that can be imported/],
    ['empty', /it is empty/],
    ['link', /symbolic link/],
    ['truncated', /truncated|corrupt|cannot read/],
    ['missing', /does not exist/],
  ]
  for (const [name, message] of cases) {
    const job = await daemons.import(name, at(name))
    t.match(job, { status: 'FAIL', message }, name)
    t.notMatch(job.message, /passwd|\n/, `${name}: one line that tells nothing of other files`)
    await nothingLeft(t, daemons)
  }
})

void t.test('an import that dies with the daemon leaves nothing after the next start', async (t) => {
  const daemons = await Daemons.make(t)
  await daemons.start()
  const path = dataFile(daemons, 'large', 120)
  const staged = new Promise<void>((resolve) => {
    const watcher = watch(daemons.layersDir, () => {
      watcher.close()
      resolve()
    })
  })
  const begun = await daemons.api('POST', '/images', { name: 'large', path })
  t.equal(begun.status, 202)
  await staged
  await daemons.kill()
  t.not(readdirSync(daemons.layersDir).length, 0, 'it was killed midway')
  for (const name of ['.gone-a', '.new-b', 'unknown-and-empty', 'unknown-with-data'])
    mkdirSync(join(daemons.layersDir, name))
  writeFileSync(join(daemons.layersDir, '.convert-c'), 'half a disk')
  writeFileSync(join(daemons.layersDir, 'unknown-with-data', 'data'), 'somebody wrote this')
  await daemons.start()
  t.same(readdirSync(daemons.layersDir), ['unknown-with-data'], 'data is never deleted on a guess')
  rmSync(join(daemons.layersDir, 'unknown-with-data'), { recursive: true })
  await nothingLeft(t, daemons)
  const { job } = begun.body as { job: { id: string } }
  t.match((await daemons.api('GET', `/jobs/${job.id}`)).body, { status: 'FAIL', message: /daemon ended/ })
  t.match(await daemons.import('large', path), { status: 'SUCCESS' }, 'the name is free again')
})

void t.test('a disk that fills up during an import: DISK_FULL, nothing left, goes on', tmpfs, async (t) => {
  const daemons = await Daemons.make(t)
  smallDisk(t, daemons, 24)
  await daemons.start()
  const raw = dataFile(daemons, 'raw', 48)
  const qcow2 = join(daemons.dir, 'qcow2')
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2])
  for (const path of [raw, qcow2]) {
    const message = /^the state directory has no room for the image$/
    t.match(await daemons.import('large', path), { status: 'FAIL', message }, path)
    await nothingLeft(t, daemons)
  }
  const cli = await daemons.ingot('image', 'import', raw, '--name', 'large')
  t.match(cli, { code: 1, stderr: /^ingot: image-import of large failed: the state directory has no room/ })
  t.match(
    await daemons.import('small', dataFile(daemons, 'small', 4)),
    { status: 'SUCCESS' },
    'there is room for less',
  )
  await nothingLeft(t, daemons, ['small'])
})

void t.test('a disk that is full already: the import fails, the daemon lives', tmpfs, async (t) => {
  const daemons = await Daemons.make(t)
  smallDisk(t, daemons, 24)
  await daemons.start()
  const source = dataFile(daemons, 'source', 8)
  const ballast = join(daemons.stateDir, 'ballast')
  await finished(['if=/dev/zero', `of=${ballast}`, 'bs=4096'], 'dd')
  const refused = await daemons.api('POST', '/images', { name: 'full', path: source })
  t.match(refused, { status: 507, body: { error: { code: 'DISK_FULL', message: /registry cannot grow/ } } })
  rmSync(ballast)
  t.match(await daemons.import('full', source), { status: 'SUCCESS' }, 'goes on when there is room')
})

void t.test("a disk that fills up under a guest's writes", tmpfs, async (t) => {
  const daemons = await Daemons.make(t)
  smallDisk(t, daemons, 48)
  await daemons.start()
  const golden = dataFile(daemons, 'golden', 1)
  truncateSync(golden, 256 * MIB)
  t.match(await daemons.import('golden', golden), { status: 'SUCCESS' })
  const [first, second] = [await daemons.server(1, 'golden'), await daemons.server(2, 'golden')]
  const ballast = join(daemons.stateDir, 'ballast')
  writeFileSync(ballast, Buffer.alloc(16 * MIB, 1))
  const targetPid = await daemons.targetPid()
  const good = await qemuIo(daemons, second, 'write -P 5 8M 1M', 'flush', 'read -P 5 8M 1M')
  t.equal(good.code, 0, good.stdout + good.stderr)
  const full = await qemuIo(daemons, first, 'write -P 6 16M 64M')
  t.match(full.stdout + full.stderr, /No space left|Input\/output error/, 'the initiator sees the error')
  const other = await qemuIo(
    daemons,
    second,
    'read -P 5 8M 1M',
    'write -P 7 8M 1M',
    'flush',
    'read -P 7 8M 1M',
  )
  t.equal(other.code, 0, `the other volume goes on: ${other.stdout}${other.stderr}`)
  t.match(await daemons.api('GET', '/servers'), { status: 200 }, 'the API answers')
  rmSync(ballast)
  const again = await qemuIo(
    daemons,
    first,
    'write -P 8 200M 4M',
    'flush',
    'read -P 8 200M 4M',
    'read -P 0 190M 1M',
  )
  t.equal(again.code, 0, `with room writing works again: ${again.stdout}${again.stderr}`)
  t.notMatch(again.stdout + again.stderr, /verification failed/)
  t.equal(await daemons.targetPid(), targetPid, 'the target process never ended')
})
