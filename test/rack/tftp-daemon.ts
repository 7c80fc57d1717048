// Run by tftp-clients.test.ts inside a network namespace: TFTP on port 69 and HTTP on port 80 of each address given,
// files from the directory given, until standard input ends. With a socket inherited as descriptor 3: TFTP on it alone.
import { once } from 'node:events'
import pino from 'pino'
import { systemClock } from '../../src/clock.js'
import { HttpListener } from '../../src/http/listener.js'
import { BootFiles } from '../../src/netboot/boot-files.js'
import { bootRoutes } from '../../src/netboot/boot-routes.js'
import { IDLE_BOOTS } from '../fakes/idle-boots.js'
import { TftpServer } from '../../src/netboot/tftp/tftp-server.js'

const [directory = '', ...addresses] = process.argv.slice(2)
const log = pino({ level: 'silent' })
const files = new BootFiles({ directories: [directory] })
const emit = (): void => undefined
const script = '#!ipxe\n'
const templates = { server: script, rescue: script, local: script, stopped: script, unknown: script }

const inherited = process.env['LISTEN_FDS'] === '1'
const options = { address: addresses[0] ?? '', fd: 3, isOneOfMany: addresses.length > 1 }
const all = addresses.flatMap((address) => [
  new TftpServer({ options: { address }, files, emit, clock: systemClock, log }),
  new HttpListener({
    options: { name: 'boot', endpoint: { host: address, port: 80 } },
    routes: [
      bootRoutes({
        ...IDLE_BOOTS,
        policy: { address, httpPort: 80 },
        templates,
        files,
        emit,
        clock: systemClock,
      }),
    ],
    log,
  }),
])
const services = inherited ? [new TftpServer({ options, files, emit, clock: systemClock, log })] : all
for (const service of services) {
  await service.start((err) => {
    throw err
  })
}
process.stdout.write('ready\n')
process.stdin.resume()
await once(process.stdin, 'end')
for (const service of services) await service.stop()
