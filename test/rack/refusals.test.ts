import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { Daemons, finished, until, type Ended } from './daemons.js'

const canMount = (await finished(['-m', 'true'], 'unshare')).code === 0
const mounting = canMount ? {} : { skip: 'a file system cannot be mounted here' }

function isRefused(t: Test, ended: Ended, sentence: RegExp, name = 'refused'): void {
  t.equal(ended.code, 1, `${name}: exit code 1`)
  t.match(ended.stderr, sentence, `${name}: ${String(sentence)}`)
  t.notMatch(ended.stderr, /^ +at /m, `${name}: no stack`)
}

/** Every file with its digest. */
function picture(dir: string): Record<string, string> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return [path, createHash('sha256').update(readFileSync(path)).digest('hex')]
    }),
  )
}

async function nothingRuns(t: Test, daemons: Daemons): Promise<void> {
  t.equal(await daemons.targetPid(), undefined, 'no target process is left')
  t.notOk(existsSync(daemons.socket), 'no API socket is left')
}

void t.test('a bad configuration is refused with line, path and rule', async (t) => {
  const daemons = await Daemons.make(t)
  const good = readFileSync(daemons.configFile, 'utf8')
  const lines = good.split('\n').length - 1
  const cases: [string, RegExp][] = [
    [
      `${good}\n[image]\nmax_size_bytes = "1 GiB"\n`,
      new RegExp(`ingot\\.toml:${lines + 3}: image\\.max_size_bytes: expected an integer`),
    ],
    [`log_level = "loud"\n${good}`, /ingot\.toml:1: log_level: expected one of .*got "loud"/],
    [good.replace('port =', 'prot ='), /ingot\.toml:7: target\.prot: expected one of the keys/],
    [`${good}\n[image\n`, new RegExp(`ingot\\.toml:${lines + 2}: expected TOML`)],
    [good.replace('127.0.0.1', '127.0.0.256'), /ingot\.toml:6: target\.address: expected the IPv4 address/],
  ]
  for (const [text, sentence] of cases) {
    writeFileSync(daemons.configFile, text)
    const [checked, started] = await Promise.all([daemons.run('--check-config'), daemons.run()])
    isRefused(t, checked, sentence, '--check-config')
    isRefused(t, started, sentence, 'start')
    t.same(readdirSync(daemons.stateDir), [], 'nothing was made')
  }
  writeFileSync(daemons.configFile, good)
  t.match(await daemons.run('--check-config'), { code: 0, stdout: /good/ })
  t.match(
    await finished([join(import.meta.dirname, '../../dist/src/ingotd.js'), '--config', '/nowhere.toml']),
    {
      code: 1,
      stderr: /\/nowhere\.toml: expected a readable file/,
    },
  )
})

void t.test('an iSCSI port that is taken is named, and nothing goes on running', async (t) => {
  const daemons = await Daemons.make(t)
  const squatter = createServer().listen(daemons.iscsiPort, '127.0.0.1')
  t.teardown(() => void squatter.close())
  const ended = await daemons.run()
  isRefused(t, ended, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${daemons.iscsiPort}: it is in use`))
  await nothingRuns(t, daemons)
})

void t.test('an API socket that answers is not taken over, and nothing goes on running', async (t) => {
  const daemons = await Daemons.make(t)
  const squatter = createServer().listen(daemons.socket)
  t.teardown(() => void squatter.close())
  isRefused(t, await daemons.run(), /api\.sock is in use/)
  t.equal(await daemons.targetPid(), undefined, 'no target process is left')
  t.ok(existsSync(daemons.socket), 'its owner has it still')
})

void t.test('a state directory that cannot be made is named', async (t) => {
  const daemons = await Daemons.make(t)
  writeFileSync(join(daemons.dir, 'file'), '')
  const text = readFileSync(daemons.configFile, 'utf8')
  writeFileSync(daemons.configFile, text.replace(daemons.stateDir, join(daemons.dir, 'file', 'state')))
  isRefused(t, await daemons.run(), /file\/state cannot be made: ENOTDIR/)
  await nothingRuns(t, daemons)
})

void t.test('a state directory on a read-only file system is refused', mounting, async (t) => {
  const daemons = await Daemons.make(t)
  const dist = join(import.meta.dirname, '../../dist/src/ingotd.js')
  // A mount namespace of its own: the mount ends with the daemon.
  const script = `mount -t tmpfs none "$1" && mkdir "$1/layers" "$1/cache" && mount -o remount,ro "$1" &&
    exec "$2" "$3" --config "$4"`
  const argv = [daemons.stateDir, process.execPath, dist, daemons.configFile]
  const ended = await finished(['-m', 'sh', '-c', script, 'sh', ...argv], 'unshare')
  isRefused(t, ended, /cannot make .*ingotd\.lock/)
  await nothingRuns(t, daemons)
})

void t.test('a registry of a newer version or a damaged one is not opened and not touched', async (t) => {
  const daemons = await Daemons.make(t)
  await daemons.start()
  await daemons.stop()
  const db = new Database(daemons.registryFile)
  db.pragma('wal_checkpoint(TRUNCATE)') // the process that ends last may be a reader, which leaves the log
  const good = readFileSync(daemons.registryFile)
  db.pragma('user_version = 999')
  db.close()
  const newer = readFileSync(daemons.registryFile)
  const damaged = Buffer.from(good)
  damaged.fill(0xee, 4096, 4096 * 6)
  const cases: [Buffer, RegExp][] = [
    [newer, /registry\.sqlite was written by a newer Ingot: version 999, this program knows up to \d+/],
    [damaged, /registry .*damaged/],
    [Buffer.from('this is no database, and never was. '.repeat(200)), /not a SQLite database/],
  ]
  for (const [content, sentence] of cases) {
    writeFileSync(daemons.registryFile, content)
    isRefused(t, await daemons.run(), sentence)
    t.ok(readFileSync(daemons.registryFile).equals(content), 'the file is as it was')
    await nothingRuns(t, daemons)
  }
  writeFileSync(daemons.registryFile, good)
  await daemons.start()
  t.match(await daemons.api('GET', '/servers'), { status: 200 }, 'the good one is opened again')
})

void t.test('a refused start changes no file of the state directory', async (t) => {
  const daemons = await Daemons.make(t)
  await daemons.start()
  await daemons.stop()
  const before = picture(daemons.stateDir)
  const squatter = createServer().listen(daemons.iscsiPort, '127.0.0.1')
  t.teardown(() => void squatter.close())
  await until('the squatter listens', () => squatter.listening)
  t.equal((await daemons.run()).code, 1)
  t.same(Object.keys(picture(daemons.stateDir)), Object.keys(before), 'the same files')
})
