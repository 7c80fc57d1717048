import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { nbdServer } from '../../../src/wiring/nbd.js'
import { openRegistry } from '../../../src/registry/registry.js'
import { Exports } from '../../../src/rootdisk/target/exports.js'
import { NbdExports } from '../../../src/rootdisk/target/nbd-exports.js'
import { MemoryDisk } from '../../fakes/memory-disk.js'
import { fill, SERVER } from '../../registry/sample-records.js'
import { RawClient } from '../nbd/raw-client.js'
import { serverDeps, socketDir } from '../nbd/served.js'

await t.test(
  "a server's disks are exports by name and by serial, and its end ends their clients",
  async (test) => {
    const registry = openRegistry(':memory:')
    test.teardown(() => registry.close())
    fill(registry)
    const opened: MemoryDisk[] = []
    const exports = new Exports({
      registry,
      openVolume: () => {
        const disk = new MemoryDisk(1 << 20)
        opened.push(disk)
        return Promise.resolve(disk)
      },
      renderSeed: () => Buffer.alloc(4096, 7),
      seedRevision: () => '',
      seedNaa: () => '3000000000000002',
    })
    exports.reload()
    const disks = new NbdExports(exports, registry)
    test.same(
      disks.list().map(({ name }) => name),
      ['web-1', 'web-1/seed'],
    )
    test.equal(disks.find('volume-1')?.name, 'web-1')
    test.equal(disks.find('machine/rack1-u1')?.name, 'web-1')
    test.equal(disks.find('machine/rack1-u1/seed')?.name, 'web-1/seed')
    for (const name of ['volume-2', 'machine/other', 'machine/', 'machine/rack1-u1/other', '']) {
      test.equal(disks.find(name), undefined, name)
    }

    const socket = join(socketDir(test), 'nbd.sock')
    const server = nbdServer({ socket, tcp: undefined }, { ...serverDeps([]), exports: disks })
    await server.start((cause) => {
      throw cause
    })
    test.teardown(() => server.stop())
    const root = new RawClient(socket)
    await root.go('web-1', true)
    const seed = new RawClient(socket)
    await seed.go('web-1/seed', false)
    test.same((await seed.ask(0, 0, 4)).data, Buffer.alloc(4, 7))
    test.same(
      server
        .clients()
        .map(({ exportName }) => exportName)
        .sort(),
      ['web-1', 'web-1/seed'],
    )

    await server.refresh()
    test.equal(server.clients().length, 2, 'a reload that changes nothing ends nobody')
    registry.servers.change(SERVER.id, { name: 'other' })
    exports.reload()
    await server.refresh()
    test.equal(disks.find('web-1'), undefined)
    test.same((await seed.ask(0, 0, 4)).data, Buffer.alloc(4, 7), 'a server that is renamed keeps its disks')
    registry.servers.delete(SERVER.id)
    exports.reload()
    await server.refresh()
    test.equal(await root.take(1), undefined)
    test.ok(opened.every(({ isClosed }) => isClosed))
    test.same(server.clients(), [])
  },
)

await t.test('TLS files are read at the start, and one that is missing is named', (test) => {
  const dir = test.testdir()
  writeFileSync(join(dir, 'cert.pem'), 'PEM')
  const tls = { certificate: join(dir, 'cert.pem'), key: join(dir, 'none.pem'), clientCa: undefined }
  const config = { socket: '/nowhere', tcp: { address: '127.0.0.1', port: 0, tls } }
  const exports = { find: () => undefined, list: () => [] }
  test.throws(() => nbdServer(config, { ...serverDeps([]), exports }), {
    code: 'CONFIG_INVALID',
    message: /^nbd\.tls_key_file: .*none\.pem/,
  })
  test.end()
})
