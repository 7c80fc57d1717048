import { execFile, execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'

const run = promisify(execFile)
const SERVER_NS = `nb-srv-${String(process.pid)}`
const CLIENT_NS = `nb-cli-${String(process.pid)}`
const ADDRESS = '198.18.40.1'
/** A second address of the same interface: a server that answers from the first one is not heard. */
const ALIAS = '198.18.40.2'
const SIZES = [0, 1, 511, 512, 513, 1468, 65_536]
/** More than 65,535 blocks of 512 bytes. */
const BIG = 40 << 20
const PROGRAMS = ['ip', 'tftp', 'atftp', 'curl']

type Get = (address: string, name: string, local: string) => readonly string[]

const NPM_CLIENT = `
  const [host, name, local, windowSize, blockSize] = process.argv.slice(1)
  const options = { host, windowSize: Number(windowSize), blockSize: Number(blockSize) }
  require('tftp').createClient(options).get(name, local, (err) => { if (err) { console.error(err); process.exit(1) } })`

/** How each independent client is told to fetch a file. */
const CLIENTS: Readonly<Record<string, Get>> = {
  'tftp-hpa': (address, name, local) => ['tftp', '-m', 'binary', address, '-c', 'get', name, local],
  'atftp with windows': (address, name, local) => [
    'atftp',
    ...['--option', 'blksize 1024', '--option', 'windowsize 8', '-g', '-r', name, '-l', local, address],
  ],
  'curl tftp': (address, name, local) => [
    'curl',
    '-sSf',
    '--tftp-blksize',
    '1468',
    '-o',
    local,
    `tftp://${address}/${name}`,
  ],
  'curl tftp without options': (address, name, local) => [
    ...['curl', '-sSf', '--tftp-no-options', '-o', local, `tftp://${address}/${name}`],
  ],
  'curl http': (address, name, local) => [
    'curl',
    '-sSf',
    '-o',
    local,
    `http://${address}/boot/token/loaders/${name}`,
  ],
  'npm tftp with windows': (address, name, local) => [
    ...[process.execPath, '-e', NPM_CLIENT, address, name, local, '16', '1468'],
  ],
}

function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces'
  const absent = PROGRAMS.filter(
    (name) => !['/usr/bin', '/usr/sbin', '/bin', '/sbin'].some((dir) => existsSync(join(dir, name))),
  )
  return absent.length === 0 ? undefined : `needs ${absent.join(', ')}`
}

function ip(command: string): void {
  execFileSync('ip', command.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] })
}

function layNetwork(t: Test): void {
  for (const name of [SERVER_NS, CLIENT_NS]) {
    ip(`netns add ${name}`)
    t.teardown(() => {
      ip(`netns del ${name}`)
    })
    ip(`-n ${name} link set lo up`)
  }
  ip(`-n ${SERVER_NS} link add eth0 type veth peer name eth0 netns ${CLIENT_NS}`)
  ip(`-n ${SERVER_NS} addr add ${ADDRESS}/24 dev eth0`)
  ip(`-n ${SERVER_NS} addr add ${ALIAS}/24 dev eth0`)
  ip(`-n ${CLIENT_NS} addr add 198.18.40.9/24 dev eth0`)
  for (const name of [SERVER_NS, CLIENT_NS]) ip(`-n ${name} link set eth0 up`)
}

/** Resolves when the daemon serves, to a function that stops it and gives its exit status. */
async function startDaemon(t: Test, directory: string): Promise<() => Promise<unknown>> {
  const script = fileURLToPath(new URL('tftp-daemon.ts', import.meta.url))
  const node = [process.execPath, ...process.execArgv, script, directory, ADDRESS, ALIAS]
  const daemon = spawn('ip', ['netns', 'exec', SERVER_NS, ...node], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => void daemon.kill())
  const exited = once(daemon, 'exit')
  await once(daemon.stdout, 'data')
  return async () => {
    daemon.stdin.end()
    return ((await exited) as unknown[])[0]
  }
}

function inClientNs(argv: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return run('ip', ['netns', 'exec', CLIENT_NS, ...argv], { timeout: 100_000 })
}

function sha256(path: string): string {
  // some clients leave no file behind when it is empty
  return createHash('sha256')
    .update(existsSync(path) ? readFileSync(path) : '')
    .digest('hex')
}

const skip = missing()
void t.test(
  `real TFTP and HTTP clients${skip === undefined ? '' : ` (${skip})`}`,
  { skip: skip !== undefined },
  async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'tftp-clients-'))
    t.teardown(() => {
      rmSync(root, { recursive: true })
    })
    const served = t.testdir({})
    for (const size of [...SIZES, BIG]) writeFileSync(join(served, `f${String(size)}.efi`), randomBytes(size))
    symlinkSync('/etc/passwd', join(served, 'escape.efi'))
    layNetwork(t)
    const stopDaemon = await startDaemon(t, served)

    let fetched = 0
    const fetchAndCompare = async (t: Test, client: string, address: string, size: number): Promise<void> => {
      const name = `f${String(size)}.efi`
      const local = join(root, `got-${String(fetched++)}`)
      await inClientNs(CLIENTS[client]?.(address, name, local) ?? [])
      t.equal(sha256(local), sha256(join(served, name)), `${client}, ${String(size)} bytes from ${address}`)
      rmSync(local, { force: true })
    }

    for (const client of Object.keys(CLIENTS)) {
      await t.test(`${client} gets every size whole, and from the alias address`, async (t) => {
        for (const size of SIZES) await fetchAndCompare(t, client, ADDRESS, size)
        await fetchAndCompare(t, client, ALIAS, 65_536)
      })
    }

    await t.test('40 MiB comes whole, in 512-byte blocks past the rollover too', async (t) => {
      for (const client of [
        'curl tftp without options',
        'atftp with windows',
        'npm tftp with windows',
        'curl http',
      ]) {
        await fetchAndCompare(t, client, ADDRESS, BIG)
      }
    })

    await t.test('8 clients at once all get their file', async (t) => {
      const both = ['curl tftp', 'curl http', 'atftp with windows', 'tftp-hpa']
      await Promise.all(
        both.flatMap((client) =>
          [ADDRESS, ALIAS].map((address) => fetchAndCompare(t, client, address, 65_536)),
        ),
      )
    })

    await t.test('a link out of the directory and a missing file are refused to every client', async (t) => {
      for (const client of ['tftp-hpa', 'curl tftp', 'curl http']) {
        for (const name of ['escape.efi', 'none.efi']) {
          const local = join(root, 'refused')
          await inClientNs(CLIENTS[client]?.(ADDRESS, name, local) ?? []).catch(() => undefined)
          t.equal(existsSync(local) ? readFileSync(local, 'utf8') : '', '', `${client} ${name}`)
          rmSync(local, { force: true })
        }
      }
    })

    await t.test('thousands of hostile datagrams leave it serving', async (t) => {
      const storm = `
      const socket = require('node:dgram').createSocket('udp4')
      const { randomBytes, randomInt } = require('node:crypto')
      let left = 5000
      const next = () => {
        if (left-- === 0) return socket.close()
        const bytes = randomBytes(randomInt(60))
        if (bytes.length > 1 && left % 2) bytes.set([0, randomInt(9)])
        const real = Buffer.from('\\0\\x01f513.efi\\0octet\\0blksize\\x00512\\0windowsize\\x004\\0')
        real[randomInt(real.length)] = randomInt(256)
        socket.send(left % 5 ? bytes : real, 69, '${ADDRESS}', next)
      }
      next()`
      await inClientNs([process.execPath, '-e', storm])
      // the storm holds this client's transfers until they time out; the alias address has its own
      await fetchAndCompare(t, 'curl tftp', ALIAS, 65_536)
      await fetchAndCompare(t, 'curl http', ADDRESS, 65_536)
    })

    t.equal(await stopDaemon(), 0, 'the daemon outlived it all and stops cleanly, transfers pending or not')
  },
)
