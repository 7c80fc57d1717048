// TFTP on a socket that the service manager opened, as systemd hands it over.
import { spawn, type ChildProcess } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { encodeTftp } from '../../src/netboot/tftp/packet.js'

const ACTIVATE = '/usr/bin/systemd-socket-activate'
const missing = existsSync(ACTIVATE) ? '' : ' (systemd-socket-activate is not installed)'
const skip = missing !== ''
const FIRST = '127.0.0.1'
const SECOND = '127.0.0.2'

/** The daemon begins with the first datagram, which waits for it in the socket. */
async function startDaemon(
  t: Test,
  listenOn: string,
  addresses: readonly string[],
): Promise<{ port: number; child: ChildProcess }> {
  const probe = createSocket('udp4')
  probe.bind(0, listenOn)
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  const node = [...process.execArgv, fileURLToPath(new URL('tftp-daemon.ts', import.meta.url))]
  const argv = ['--datagram', '-l', `${listenOn}:${port}`, process.execPath, ...node]
  const directory = t.testdir({ file: 'x' })
  const child = spawn(ACTIVATE, [...argv, directory, ...addresses], { stdio: ['pipe', 'pipe', 'pipe'] })
  t.teardown(() => void child.kill('SIGKILL'))
  await once(child.stderr, 'data') // it says that it listens
  return { port, child }
}

function ask(t: Test, port: number, address: string): { answeredFrom: Promise<string> } {
  const socket = createSocket('udp4')
  t.teardown(() => void socket.close())
  const answeredFrom = once(socket, 'message').then(([, from]) => (from as { address: string }).address)
  socket.send(encodeTftp({ op: 'rrq', filename: 'file', mode: 'octet', options: new Map() }), port, address)
  return { answeredFrom }
}

void t.test(
  `an inherited socket answers from the address that it is bound to${missing}`,
  { skip },
  async (t) => {
    const { port } = await startDaemon(t, SECOND, [FIRST, SECOND])
    t.equal(await ask(t, port, SECOND).answeredFrom, SECOND)
  },
)

void t.test(`one socket for every address serves a host with one${missing}`, { skip }, async (t) => {
  const { port } = await startDaemon(t, '0.0.0.0', [FIRST])
  t.equal(await ask(t, port, FIRST).answeredFrom, FIRST)
})

void t.test(
  `one socket for every address is refused where there are several${missing}`,
  { skip },
  async (t) => {
    const { port, child } = await startDaemon(t, '0.0.0.0', [FIRST, SECOND])
    const said: Buffer[] = []
    child.stderr?.on('data', (text: Buffer) => said.push(text))
    const exited = once(child, 'exit')
    ask(t, port, FIRST).answeredFrom.catch(() => undefined)
    t.equal(((await exited) as [number])[0], 1)
    t.match(Buffer.concat(said).toString(), /expected an inherited socket for each address/)
  },
)
