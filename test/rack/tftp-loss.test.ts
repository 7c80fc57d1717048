// Transfers over a network that loses 2 % both ways, swaps and doubles datagrams; what arrives is compared by hash.
// The network is test/fakes/lossy-network.ts and not netem: kernels without sch_netem run this test too.
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pino from 'pino'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/clock.js'
import { BootFiles } from '../../src/netboot/boot-files.js'
import { TftpServer } from '../../src/netboot/tftp/tftp-server.js'
import { download } from '../fakes/lossy-tftp-client.js'
import { lossyNetwork } from '../fakes/lossy-network.js'

const run = promisify(execFile)
const HOST = '127.0.0.1'
const BAD = { lost: 0.02, doubled: 0.01, swapped: 0.01 }
/** In lock step each loss costs a second. */
const SIZE = 60_000
const WINDOWED_SIZE = 1_000_000

type Get = (port: number, name: string, local: string) => Promise<unknown>

const own =
  (options: Record<string, string>): Get =>
  async (port, filename, local) => {
    const result = await download({ host: HOST, port, filename, options: new Map(Object.entries(options)) })
    if ('data' in result) writeFileSync(local, result.data)
  }
const program =
  (argv: (port: string, name: string, local: string) => readonly string[]): Get =>
  (port, name, local) => {
    const [file = '', ...words] = argv(String(port), name, local)
    return run(file, words, { timeout: 100_000 })
  }
const atftp = (...options: string[]): Get =>
  program((port, name, local) => [
    ...['atftp', ...options.flatMap((option) => ['--option', option])],
    ...['-g', '-r', name, '-l', local, HOST, port],
  ])

const CLIENTS: Readonly<
  Record<string, { readonly get: Get; readonly size: number; readonly needs?: string }>
> = {
  'our client, window 1': { get: own({ blksize: '1468' }), size: SIZE },
  'our client without options': { get: own({}), size: SIZE },
  'our client, window 16': { get: own({ blksize: '1468', windowsize: '16' }), size: WINDOWED_SIZE },
  'our client, window 5': {
    get: own({ blksize: '512', windowsize: '5', tsize: '0' }),
    size: WINDOWED_SIZE / 2,
  },
  'tftp-hpa': {
    get: program((port, name, local) => ['tftp', '-m', 'binary', HOST, port, '-c', 'get', name, local]),
    size: SIZE / 2,
    needs: 'tftp',
  },
  'atftp, window 1': { get: atftp('blksize 1024', 'timeout 1'), size: SIZE, needs: 'atftp' },
  'atftp, window 16': {
    get: atftp('blksize 1024', 'windowsize 16', 'timeout 1'),
    size: SIZE,
    needs: 'atftp',
  },
}

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

function isInstalled(name: string): boolean {
  return ['/usr/bin', '/usr/sbin', '/bin'].some((directory) => existsSync(join(directory, name)))
}

async function serve(t: Test, directory: string): Promise<number> {
  const server = new TftpServer({
    options: { address: HOST, port: 0, transfersPerClient: 50 },
    files: new BootFiles({ directories: [directory] }),
    emit: () => undefined,
    clock: systemClock,
    log: pino({ level: 'silent' }),
  })
  await server.start((err) => t.fail(err.message))
  t.teardown(() => server.stop())
  return server.port ?? 0
}

void t.test('files arrive whole over a network that loses, swaps and doubles', async (t) => {
  t.jobs = Object.keys(CLIENTS).length
  const directory = t.testdir({})
  const port = await serve(t, directory)
  for (const [index, [name, { get, size, needs }]] of Object.entries(CLIENTS).entries()) {
    const skip = needs === undefined || isInstalled(needs) ? undefined : `needs ${needs}`
    void t.test(
      `${name}${skip === undefined ? '' : ` (${skip})`}`,
      { skip: skip !== undefined, buffered: true },
      async (t) => {
        const file = `file${index}`
        const bytes = randomBytes(size)
        writeFileSync(join(directory, file), bytes)
        const network = await lossyNetwork(port, { ...BAD, seed: index + 11 })
        t.teardown(() => {
          network.close()
        })
        const local = join(directory, `got${index}`)
        await get(network.port, file, local)
        t.equal(hash(readFileSync(local)), hash(bytes))
        t.ok(network.counts.lost > 0, `lost, doubled, swapped: ${JSON.stringify(network.counts)}`)
      },
    )
  }
})
