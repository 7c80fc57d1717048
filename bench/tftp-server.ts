// Our TFTP server alone, for the bench: files of a directory on port 69 of an address, until it is killed.
import pino from 'pino'
import { systemClock } from '../src/clock.js'
import { BootFiles } from '../src/netboot/boot-files.js'
import { TftpServer } from '../src/netboot/tftp/tftp-server.js'

const [directory = '', address = ''] = process.argv.slice(2)
const server = new TftpServer({
  options: { address, transfersPerClient: 1000 },
  files: new BootFiles({ directories: [directory], cachedFileBytes: 64 << 20 }),
  emit: () => undefined,
  clock: systemClock,
  log: pino({ level: 'silent' }),
})
await server.start((err) => {
  throw err
})
