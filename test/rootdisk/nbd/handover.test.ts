import { randomBytes } from 'node:crypto'
import { writeFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { DaemonEvent } from '../../../src/events.js'
import type { BlockDevice } from '../../../src/rootdisk/block-device.js'
import type { NbdDirectory } from '../../../src/rootdisk/nbd/export-directory.js'
import { NbdServer } from '../../../src/rootdisk/nbd/nbd-server.js'
import { decodeOptionReply, encodeGo, encodeOption } from '../../../src/rootdisk/nbd/option-codec.js'
import { OPTION } from '../../../src/rootdisk/nbd/protocol.js'
import { DistantDisk } from '../../../src/rootdisk/target/distant-disk.js'
import { MemoryDisk } from '../../fakes/memory-disk.js'
import { RawClient } from './raw-client.js'
import { missing, run, serverDeps, socketDir } from './served.js'

const MIB = 1 << 20

function only(device: BlockDevice): NbdDirectory {
  const share = { device, release: () => Promise.resolve() }
  const disk = { id: 'disk', name: 'disk', description: 'a disk', open: () => Promise.resolve(share) }
  return { find: (name) => (name === 'disk' ? disk : undefined), list: () => [disk] }
}

/** A server that negotiates, and one behind it that has the disk. */
async function pair(
  t: Test,
  disk: MemoryDisk,
): Promise<{ socketPath: string; back: NbdServer; events: DaemonEvent[] }> {
  const events: DaemonEvent[] = []
  const dir = socketDir(t)
  const socketPath = join(dir, 'nbd.sock')
  const back = new NbdServer({}, { ...serverDeps(events), exports: only(disk) })
  const front = new NbdServer(
    { socketPath },
    {
      ...serverDeps(events),
      exports: only(new DistantDisk(disk.sizeBytes)),
      handOver: (client, socket) => {
        back.take(socket, client)
        return Promise.resolve()
      },
    },
  )
  for (const server of [back, front]) {
    await server.start((cause) => {
      throw cause
    })
    t.teardown(() => server.stop())
  }
  return { socketPath, back, events }
}

void t.test('a client is served by the one behind, with what it had negotiated', async (t) => {
  const disk = new MemoryDisk(MIB)
  disk.bytes.fill(7, 4096, 8192)
  const { socketPath, back, events } = await pair(t, disk)
  const client = new RawClient(socketPath)
  t.teardown(() => void client.socket.destroy())
  await client.go('disk', false)
  const read = await client.ask(0, 4096, 4096)
  t.same([read.error, read.data], [0, Buffer.alloc(4096, 7)])
  t.same(back.clients(), [{ exportName: 'disk', remoteAddress: 'a local client' }])
  t.match(events, [{ kind: 'nbd.attached' }])
  await back.drop((name) => name === 'disk')
  t.equal(await client.take(1), undefined, 'dropped by the name of its export')
})

void t.test('a request that came before the answer to GO is answered too', async (t) => {
  const disk = new MemoryDisk(MIB)
  disk.bytes.fill(7)
  const { socketPath } = await pair(t, disk)
  const client = new RawClient(socketPath)
  t.teardown(() => void client.socket.destroy())
  await client.greet()
  client.socket.write(encodeOption(OPTION.GO, encodeGo('disk', [])))
  client.send(0, 0, 4096)
  let type = 0
  while (type !== 1) {
    const reply = decodeOptionReply(await client.need(20))
    await client.need(reply.length)
    type = reply.type
  }
  const { error, data } = await client.reply(4096)
  t.same([error, data], [0, Buffer.alloc(4096, 7)])
})

void t.test('nbdcopy writes and reads through both', { skip: missing('nbdcopy') }, async (t) => {
  const disk = new MemoryDisk(8 * MIB)
  const { socketPath } = await pair(t, disk)
  const file = join(socketDir(t), 'raw')
  writeFileSync(file, randomBytes(8 * MIB))
  const url = `nbd+unix:///disk?socket=${socketPath}`
  for (const argv of [
    [file, url],
    [url, `${file}.back`],
  ]) {
    const { status, output } = await run('nbdcopy', argv)
    t.equal(status, 0, output)
  }
  t.ok(disk.bytes.equals(readFileSync(file)))
  t.ok(disk.bytes.equals(readFileSync(`${file}.back`)))
})

void t.test('one who only asks is answered by the one in front', { skip: missing('nbdinfo') }, async (t) => {
  const { socketPath, events } = await pair(t, new MemoryDisk(3 * MIB))
  const { output } = await run('nbdinfo', ['--list', '--json', `nbd+unix://?socket=${socketPath}`])
  t.match(JSON.parse(output), { exports: [{ 'export-name': 'disk', 'export-size': 3 * MIB }] })
  t.same(events, [])
})
