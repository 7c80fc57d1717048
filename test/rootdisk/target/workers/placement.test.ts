import t from 'tap'
import {
  Placement,
  type PlacedServer,
  type PlacedVolume,
} from '../../../../src/rootdisk/target/workers/placement.js'

const WORKERS = 4

function serverOf(id: string, createdMs: number, ...volumeIds: string[]): PlacedServer {
  return { id, iqn: `iqn.2026-01.example:${id}`, createdMs, volumeIds: [`${id}-system`, ...volumeIds] }
}

function volumeOf(id: string, ...layerIds: string[]): PlacedVolume {
  return { id, layerIds: [`${id}-top`, ...layerIds] }
}

/** Servers, each with a system disk, and volumes besides. */
function placed(servers: readonly PlacedServer[], volumes: readonly PlacedVolume[] = []): Placement {
  return new Placement(WORKERS, servers, [...servers.map(({ id }) => volumeOf(`${id}-system`)), ...volumes])
}

const where = (placement: Placement, id: string): number | undefined =>
  placement.ofTarget(`iqn.2026-01.example:${id}`)

void t.test('a server stays where it is, whoever comes and goes, with its disks', (t) => {
  const servers = Array.from({ length: 200 }, (_, i) => serverOf(`s${i}`, i, `d${i}`))
  const disks = servers.map((_, i) => volumeOf(`d${i}`))
  const all = placed(servers, disks)
  for (const server of servers.slice(0, 20)) {
    const alone = placed([server], disks)
    t.equal(where(alone, server.id), where(all, server.id))
    for (const id of server.volumeIds) t.equal(all.ofVolume(id), where(all, server.id), id)
  }
  const counts = Array.from({ length: WORKERS }, (_, worker) => {
    return servers.filter(({ id }) => where(all, id) === worker).length
  })
  t.ok(Math.min(...counts) > 30, `no worker is left out: ${counts.join()}`)
  t.end()
})

void t.test('servers whose disks share a snapshot are together, where the oldest is', (t) => {
  const servers = Array.from({ length: 10 }, (_, i) => serverOf(`s${i}`, i))
  const apart = placed(servers)
  const other = servers.find(({ id }) => where(apart, id) !== where(apart, 's0'))?.id ?? ''
  const withCopy = servers.map((server) =>
    server.id === other ? serverOf(other, server.createdMs, 'copy') : server,
  )
  const volumes = [
    ...servers.filter(({ id }) => id !== 's0').map(({ id }) => volumeOf(`${id}-system`)),
    volumeOf('s0-system', 'snapshot'),
    volumeOf('copy', 'snapshot'),
  ]
  const together = new Placement(WORKERS, withCopy, volumes)
  t.equal(where(together, 's0'), where(apart, 's0'), 'the oldest stays')
  t.equal(where(together, other), where(apart, 's0'), 'the other one comes to it')
  t.equal(together.ofVolume('copy'), where(apart, 's0'))
  for (const { id } of servers.filter((server) => server.id !== other))
    t.equal(where(together, id), where(apart, id), `${id} stays`)
  t.end()
})

void t.test('elsewhere is what the other workers have', (t) => {
  const servers = Array.from({ length: 20 }, (_, i) => serverOf(`s${i}`, i))
  const placement = placed(servers, [volumeOf('loose')])
  for (let worker = 0; worker < WORKERS; worker++) {
    const { iqns, volumeIds } = placement.elsewhere(worker)
    const own = servers.filter(({ iqn }) => !iqns.includes(iqn))
    t.ok(own.every(({ id }) => where(placement, id) === worker))
    t.equal(iqns.length + own.length, servers.length)
    t.equal(volumeIds.includes('loose'), placement.ofVolume('loose') !== worker)
  }
  t.equal(placement.ofTarget('iqn.2026-01.example:nobody'), undefined)
  t.end()
})
