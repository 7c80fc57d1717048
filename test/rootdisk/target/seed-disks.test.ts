import t from 'tap'
import type { ServerRecord } from '../../../src/registry/records.js'
import { SeedDisks } from '../../../src/rootdisk/target/seed-disks.js'
import { SERVER } from '../../registry/sample-records.js'

interface Made {
  readonly seeds: SeedDisks
  /** Names of the servers rendered, in order. */
  readonly rendered: string[]
}

function made(): Made {
  const rendered: string[] = []
  const renderSeed = ({ name }: ServerRecord): Uint8Array => {
    if (name === 'broken') throw new Error('no such network')
    rendered.push(name)
    return Buffer.from(name.padEnd(name === 'short' ? 512 : 1024))
  }
  return { seeds: new SeedDisks({ renderSeed, seedRevision: ({ name }) => name }), rendered }
}

function named(name: string): ServerRecord {
  return { ...SERVER, name }
}

void t.test('whoever looks at a seed sees the bytes of now, and it is rendered once for all', async (t) => {
  const { seeds, rendered } = made()
  const [first, second] = [seeds.open(named('one')), seeds.open(named('one'))]
  const head = (disk: typeof first): string => {
    const bytes = Buffer.alloc(5)
    void disk.read(0, bytes)
    return bytes.toString().trim()
  }
  t.same([head(first), head(second), first.revision], ['one', 'one', 0])
  t.same(await seeds.follow(() => named('one')), [])
  t.same([rendered, second.revision], [['one'], 0], 'nothing changes while the records say the same')
  t.same(await seeds.follow(() => named('two')), [])
  t.same([head(first), head(second), first.revision, second.revision], ['two', 'two', 1, 1])
  const third = seeds.open(named('three'))
  t.same([head(first), head(third), first.revision], ['three', 'three', 2], 'a login sees the records of now')
  t.same(rendered, ['one', 'two', 'three'])
})

void t.test('what nobody looks at is not kept, and not rendered again', async (t) => {
  const { seeds, rendered } = made()
  const disks = [seeds.open(named('one')), seeds.open(named('one'))]
  await disks[0]?.close()
  await seeds.follow(() => named('two'))
  await disks[1]?.close()
  await seeds.follow(() => named('three'))
  t.same(rendered, ['one', 'two'])
  seeds.open(named('four'))
  t.same(rendered, ['one', 'two', 'four'])
})

void t.test('a seed that cannot be rendered goes on as it was, and why is told', async (t) => {
  const { seeds } = made()
  const disk = seeds.open(named('one'))
  t.same(await seeds.follow(() => named('broken')), [{ iqn: SERVER.iqn, message: 'no such network' }])
  t.equal(disk.revision, 0)
  t.same(await seeds.follow(() => undefined), [], 'a server that is gone is not followed')
  t.same(await seeds.follow(() => named('two')), [])
  t.equal(disk.revision, 1)
})

void t.test('beyond a shorter content zeros are read, and nobody else can change it', async (t) => {
  const { seeds } = made()
  const disk = seeds.open(named('one'))
  await seeds.follow(() => named('short'))
  const bytes = Buffer.alloc(1024, 0xff)
  void disk.read(0, bytes)
  t.same([disk.sizeBytes, bytes.subarray(512)], [512, Buffer.alloc(512)])
  t.throws(() => disk.write(0, bytes), { name: 'BlockError', kind: 'read-only' })
  t.throws(() => disk.unmap(0, 512), { name: 'BlockError', kind: 'read-only' })
})
