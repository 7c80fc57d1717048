// More than 4 GiB by TFTP: 45 rollovers of the block number, sizes and offsets beyond 32 bits. Minutes long.
import { createHash } from 'node:crypto'
import { closeSync, createReadStream, ftruncateSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import pino from 'pino'
import t from 'tap'
import { systemClock } from '../../src/clock.js'
import { BootFiles } from '../../src/netboot/boot-files.js'
import { TftpServer } from '../../src/netboot/tftp/tftp-server.js'
import { download } from '../fakes/lossy-tftp-client.js'

const HOST = '127.0.0.1'
const SIZE = 2 ** 32 + 12_345
const LIMIT_MS = 1_800_000
t.setTimeout(LIMIT_MS)

/** A sparse file with words about the first rollover, the 4 GiB line and the end. */
function writeSparse(path: string): void {
  const fd = openSync(path, 'w')
  ftruncateSync(fd, SIZE)
  for (const offset of [0, 65_535 * 1468 - 5, 2 ** 31 - 5, 2 ** 32 - 5, SIZE - 10]) {
    writeSync(fd, `at ${offset}`.slice(0, 10), offset)
  }
  closeSync(fd)
}

const skip = process.env['INGOT_FULL'] !== '1'
void t.test(
  `a file of 4 GiB and more arrives whole${skip ? ' (minutes long: npm run test:full)' : ''}`,
  { skip, timeout: LIMIT_MS },
  async (t) => {
    const directory = t.testdir({})
    const path = join(directory, 'large')
    writeSparse(path)
    const server = new TftpServer({
      options: { address: HOST, port: 0 },
      files: new BootFiles({ directories: [directory] }),
      emit: () => undefined,
      clock: systemClock,
      log: pino({ level: 'silent' }),
    })
    await server.start((err) => t.fail(err.message))
    t.teardown(() => server.stop())
    const got = createHash('sha256')
    let bytes = 0
    const result = await download({
      host: HOST,
      port: server.port ?? 0,
      filename: 'large',
      options: new Map(Object.entries({ blksize: '1468', windowsize: '16', tsize: '0' })),
      sink: (piece) => {
        got.update(piece)
        bytes += piece.length
      },
    })
    t.equal('accepted' in result && result.accepted.get('tsize'), String(SIZE))
    t.equal(bytes, SIZE)
    const sent = createHash('sha256')
    await pipeline(createReadStream(path), sent)
    t.equal(got.digest('hex'), sent.digest('hex'))
  },
)
