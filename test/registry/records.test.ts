import t from 'tap'
import { ERROR } from '../../src/errors.js'
import type { LeaseChange, LeaseRecord } from '../../src/registry/records.js'
import { openRegistry, type Registry } from '../../src/registry/registry.js'
import { CLONE, fill, GOLDEN, IMAGE, MACHINE, SERVER, VOLUME } from './sample-records.js'

function opened(): Registry {
  const registry = openRegistry(':memory:')
  fill(registry)
  return registry
}

void t.test('every record comes back as it was written', (t) => {
  const registry = opened()
  t.same(registry.images.get(IMAGE.id), IMAGE)
  t.same(registry.layers.get(GOLDEN.id), GOLDEN)
  t.same(registry.volumes.get(VOLUME.id), VOLUME)
  t.same(registry.machines.get(MACHINE.id), MACHINE)
  t.same(registry.servers.get(SERVER.id), SERVER)
  t.equal(registry.machines.get(MACHINE.id)?.nics[1]?.ip, undefined, 'absent is undefined, not null')
  t.end()
})

void t.test('things are found by id and by name, and by what the wire knows of them', (t) => {
  const { images, volumes, machines, servers } = opened()
  t.same(
    [images.find(IMAGE.id), images.find(IMAGE.name), images.findByName(IMAGE.name)],
    [IMAGE, IMAGE, IMAGE],
  )
  t.same([volumes.find(VOLUME.id), volumes.find(VOLUME.name)], [VOLUME, VOLUME])
  t.same([machines.find(MACHINE.id), machines.find(MACHINE.name)], [MACHINE, MACHINE])
  t.same([machines.findByMac('52:54:00:00:00:02'), machines.findByIp('198.18.0.11')], [MACHINE, MACHINE])
  t.same([servers.find(SERVER.id), servers.find(SERVER.name)], [SERVER, SERVER])
  t.same(servers.findByToken(SERVER.bootToken), SERVER)
  t.same([servers.findByMachine(MACHINE.id), servers.findByIqn(SERVER.iqn)], [SERVER, SERVER])
  t.end()
})

void t.test('what is not there is undefined', (t) => {
  const { images, layers, volumes, machines, servers, leases, boots, jobs } = opened()
  const found = [images.find('x'), layers.get('x'), volumes.find('x'), machines.find('x'), servers.find('x')]
  found.push(
    machines.findByMac('x'),
    machines.findByIp('x'),
    servers.findByToken('x'),
    servers.findByIqn('x'),
  )
  t.ok([...found, leases.findByIp('x'), boots.latest('x'), jobs.get('x')].every((one) => one === undefined))
  t.same(layers.chain('x'), [])
  t.end()
})

void t.test('a name that looks like the id of another thing does not hide that thing', (t) => {
  const registry = opened()
  registry.images.insert({ ...IMAGE, id: 'image-2', name: IMAGE.id })
  t.equal(registry.images.find(IMAGE.id)?.name, IMAGE.name)
  t.end()
})

void t.test('a taken name, MAC or address is refused, naming the value, and nothing is written', (t) => {
  const { images, volumes, machines, servers, layers } = opened()
  layers.insert({ ...CLONE, id: 'other' })
  const refused = (code: keyof typeof ERROR, message: RegExp, write: () => void): void => {
    t.throws(write, { name: 'DaemonError', code, message })
  }
  refused('NAME_TAKEN', /image.* debian-12$/, () => {
    images.insert({ ...IMAGE, id: 'i2' })
  })
  const volume = { ...VOLUME, id: 'v2', layerId: 'other', naa: '6000000000000002' }
  refused('NAME_TAKEN', /volume.* web-1-system$/, () => {
    volumes.insert(volume)
  })
  refused('NAME_TAKEN', /machine.* rack1-u1$/, () => {
    machines.insert({ ...MACHINE, id: 'm2', nics: [] })
  })
  const nic = {
    mac: '52:54:00:00:00:09',
    machineId: 'm3',
    position: 0,
    ip: undefined,
    switchPort: undefined,
    role: 'tenant' as const,
  }
  const withNics = (...nics: (typeof MACHINE)['nics']): void => {
    machines.insert({ ...MACHINE, id: 'm3', name: 'm3', nics })
  }
  refused('MAC_TAKEN', /52:54:00:00:00:01$/, () => {
    withNics(nic, { ...nic, position: 1, mac: '52:54:00:00:00:01' })
  })
  refused('ADDRESS_TAKEN', /198\.18\.0\.11$/, () => {
    withNics({ ...nic, ip: '198.18.0.11' })
  })
  machines.setSwitchPort(MACHINE.id, '01/')
  t.equal(machines.findBySwitchPort('01/')?.id, MACHINE.id)
  refused('NAME_TAKEN', /switch port 01\/$/, () => {
    withNics({ ...nic, switchPort: '01/' })
  })
  machines.setSwitchPort(MACHINE.id, undefined)
  t.equal(machines.findBySwitchPort('01/'), undefined)
  t.equal(machines.find('m3'), undefined)
  t.equal(machines.findByMac(nic.mac), undefined)
  refused('WRONG_STATE', /machine machine-1$/, () => {
    servers.insert({ ...distinctServer(), machineId: MACHINE.id })
  })
  refused('NAME_TAKEN', /server.* web-1$/, () => {
    servers.insert({ ...distinctServer(), name: SERVER.name })
  })
  t.end()
})

void t.test('a machine may not have the same MAC twice', (t) => {
  const { machines } = opened()
  const nic = {
    mac: '52:54:00:00:00:09',
    machineId: 'm3',
    position: 0,
    ip: undefined,
    switchPort: undefined,
    role: 'tenant' as const,
  }
  const twice = { ...MACHINE, id: 'm3', name: 'm3', nics: [nic, { ...nic, position: 1 }] }
  t.throws(
    () => {
      machines.insert(twice)
    },
    { code: 'MAC_TAKEN' },
  )
  t.equal(machines.find('m3'), undefined)
  t.end()
})

void t.test('a broken rule that no operator can cause is not dressed up', (t) => {
  const registry = opened()
  t.throws(
    () => {
      registry.images.insert({ ...IMAGE, name: 'other' })
    },
    {
      code: 'SQLITE_CONSTRAINT_PRIMARYKEY',
    },
  )
  const unknownStatus = { ...IMAGE, id: 'x', name: 'x', status: 'odd' } as unknown as typeof IMAGE
  t.throws(
    () => {
      registry.images.insert(unknownStatus)
    },
    { code: 'SQLITE_CONSTRAINT_CHECK' },
  )
  t.end()
})

void t.test('what refers to nothing is refused', (t) => {
  const { images, volumes, servers, layers, boots } = opened()
  layers.insert({ ...CLONE, id: 'other' })
  t.throws(
    () => {
      layers.insert({ ...CLONE, id: 'l', parentId: 'none' })
    },
    { code: 'NOT_FOUND' },
  )
  t.throws(
    () => {
      images.insert({ ...IMAGE, id: 'i', name: 'i', layerId: 'none' })
    },
    { code: 'NOT_FOUND' },
  )
  const volume = { ...VOLUME, id: 'v', name: 'v', layerId: 'other', naa: '6000000000000002', imageId: 'none' }
  t.throws(
    () => {
      volumes.insert(volume)
    },
    { code: 'NOT_FOUND' },
  )
  t.throws(
    () => {
      servers.insert(distinctServer())
    },
    { code: 'NOT_FOUND' },
  )
  t.throws(
    () => {
      boots.insert({ id: 'b', serverId: 'none', startedMs: 0 })
    },
    { code: 'NOT_FOUND' },
  )
  t.throws(
    () => {
      images.setActive(IMAGE.id, { layerId: 'none', sha256: '', sizeBytes: 1, kernelArguments: undefined })
    },
    {
      code: 'NOT_FOUND',
    },
  )
  t.throws(
    () => {
      images.setStatus('none', 'killed')
    },
    { code: 'NOT_FOUND' },
  )
  t.throws(
    () => {
      servers.setStatus('none', 'ERROR')
    },
    { code: 'NOT_FOUND' },
  )
  t.end()
})

void t.test('what others depend on is not deleted, and the refusal names them', (t) => {
  const { images, layers, volumes, machines } = opened()
  const refused = (message: RegExp, remove: () => unknown): void => {
    t.throws(remove, { code: 'IN_USE', message })
  }
  refused(/^image image-1 is used by server web-1, volume web-1-system$/, () => images.delete(IMAGE.id))
  refused(/^layer golden is used by layer clone, image debian-12$/, () => layers.delete(GOLDEN.id))
  refused(/^layer clone is used by volume web-1-system$/, () => layers.delete(CLONE.id))
  refused(/^volume volume-1 is used by server web-1$/, () => volumes.delete(VOLUME.id))
  refused(/^machine machine-1 is used by server web-1$/, () => machines.delete(MACHINE.id))
  t.end()
})

void t.test('deleted from the top down everything goes, nics and boots with their owners', (t) => {
  const { servers, volumes, layers, images, machines, boots } = opened()
  boots.insert({ id: 'boot-1', serverId: SERVER.id, startedMs: 1 })
  t.ok(servers.delete(SERVER.id))
  t.ok(volumes.delete(VOLUME.id))
  t.ok(layers.delete(CLONE.id))
  t.ok(images.delete(IMAGE.id))
  t.ok(layers.delete(GOLDEN.id))
  t.ok(machines.delete(MACHINE.id))
  t.same(
    [servers.list(), volumes.list(), layers.list(), images.list(), machines.list()],
    [[], [], [], [], []],
  )
  t.same(boots.list(SERVER.id), [])
  t.equal(machines.findByMac('52:54:00:00:00:01'), undefined)
  t.notOk(servers.delete(SERVER.id), 'a second delete says that there was nothing')
  t.end()
})

void t.test('a chain is given top first, and children and clones are counted', (t) => {
  const { layers, volumes } = opened()
  layers.insert({ ...CLONE, id: 'snapshot', parentId: CLONE.id })
  t.same(
    layers.chain('snapshot').map((layer) => layer.id),
    ['snapshot', 'clone', 'golden'],
  )
  t.same(layers.children('golden'), [CLONE])
  t.same(layers.children('snapshot'), [])
  t.same([volumes.countByImage(IMAGE.id), volumes.countByImage('none')], [1, 0])
  t.end()
})

void t.test('an image becomes active with its layer, hash, size and kernel in one step', (t) => {
  const { images } = opened()
  images.insert({ ...IMAGE, id: 'i', name: 'i', status: 'queued', layerId: undefined, sha256: undefined })
  images.setStatus('i', 'saving')
  t.equal(images.get('i')?.status, 'saving')
  const active = { layerId: GOLDEN.id, sha256: 'cd', sizeBytes: 5, kernelArguments: 'root=LABEL=ROOT ro' }
  images.setActive('i', active)
  t.match(images.get('i'), { status: 'active', ...active })
  t.end()
})

void t.test('a server changes its status and nothing else', (t) => {
  const { servers } = opened()
  servers.setStatus(SERVER.id, 'ACTIVE')
  t.same(servers.get(SERVER.id), { ...SERVER, status: 'ACTIVE' })
  t.end()
})

void t.test('what a server may change is written, its name only when it is free, and the rest stays', (t) => {
  const { servers } = opened()
  const wanted = {
    name: 'web-9',
    instanceId: 'instance-9',
    keys: [{ name: 'mine', publicKey: 'ssh-ed25519 AAAA nine' }],
    network: '{"links":[]}',
    userData: undefined,
    adminPasswordHash: '$6$salt$hash',
    sealedPassword: 'c2VhbGVk',
  }
  servers.change(SERVER.id, wanted)
  t.strictSame(servers.get(SERVER.id), { ...SERVER, ...wanted })
  servers.change(SERVER.id, { network: undefined, sealedPassword: undefined })
  const after = { ...SERVER, ...wanted, network: undefined, sealedPassword: undefined }
  t.strictSame(servers.findByInstance('instance-9'), after)
  t.throws(() => servers.change('none', {}), { code: 'NOT_FOUND' })
  t.end()
})

void t.test('key pairs are kept by name', (t) => {
  const { keypairs } = opened()
  const keypair = {
    name: 'mine',
    kind: 'ssh-ed25519',
    publicKey: 'ssh-ed25519 AAAA',
    fingerprint: 'SHA256:x',
  }
  keypairs.insert({ ...keypair, createdMs: 1 })
  t.throws(() => keypairs.insert({ ...keypair, createdMs: 2 }), {
    code: 'NAME_TAKEN',
    message: /key pair.* mine$/,
  })
  t.strictSame([keypairs.get('mine'), keypairs.list().length], [{ ...keypair, createdMs: 1 }, 1])
  t.same([keypairs.delete('mine'), keypairs.delete('mine'), keypairs.get('mine')], [true, false, undefined])
  t.end()
})

void t.test("an image's properties and inspection are written, and the rest stays", (t) => {
  const { images } = opened()
  const wanted = { properties: { hw_firmware_type: 'both' }, inspection: '{"verdict":"inic"}' }
  images.change(IMAGE.id, wanted)
  t.strictSame(images.get(IMAGE.id), { ...IMAGE, ...wanted })
  images.change(IMAGE.id, { osType: 'windows' })
  t.strictSame(images.list(), [{ ...IMAGE, ...wanted, osType: 'windows' }])
  t.throws(() => images.change('none', {}), { code: 'NOT_FOUND' })
  t.end()
})

void t.test('a machine has the NICs that it was given last', (t) => {
  const { machines } = opened()
  const [first, second] = MACHINE.nics
  if (first === undefined || second === undefined) throw new Error('the sample machine has two NICs')
  const storage = { ...second, role: 'storage' as const }
  machines.setWiring({ ...MACHINE, inic: 'card', nics: [first, storage] })
  t.strictSame(machines.get(MACHINE.id), { ...MACHINE, inic: 'card', nics: [first, storage] })
  const other = { ...second, mac: '52:54:00:00:00:77' }
  machines.setWiring({ ...MACHINE, nics: [first, other] })
  t.same([machines.findByMac(second.mac), machines.findByMac(other.mac)?.id], [undefined, MACHINE.id])
  const twice = { ...other, position: 2 }
  t.throws(() => machines.setWiring({ ...MACHINE, nics: [first, other, twice] }), { code: 'MAC_TAKEN' })
  t.strictSame(machines.get(MACHINE.id)?.nics, [first, other], 'nothing is changed then')
  t.throws(() => machines.setWiring({ ...MACHINE, id: 'none' }), { code: 'NOT_FOUND' })
  t.end()
})

void t.test('machines are listed by name with each one its own nics', (t) => {
  const { machines } = opened()
  const bare = { ...MACHINE, id: 'm0', name: 'a-bare-one', nics: [] }
  machines.insert(bare)
  t.same(machines.list(), [bare, MACHINE])
  t.end()
})

void t.test('an address has one lease and a client one address, the newest', (t) => {
  const { leases } = opened()
  const lease = (ip: string, mac: string) => ({ ip, mac, clientId: undefined, expiresMs: 5 })
  const given = (...some: LeaseRecord[]): LeaseChange[] => some.map((one) => [one.ip, one])
  leases.apply(given(lease('198.18.0.20', 'a'), lease('198.18.0.21', 'b')))
  leases.apply(given(lease('198.18.0.22', 'a')), false)
  t.equal(leases.findByIp('198.18.0.20'), undefined)
  leases.apply(given(lease('198.18.0.22', 'b'), lease('198.18.0.21', 'a')))
  t.same(leases.all(), [lease('198.18.0.21', 'a'), lease('198.18.0.22', 'b')])
  leases.apply(given({ ...lease('198.18.0.21', 'a'), clientId: '0152', expiresMs: 9 }))
  t.same(leases.findByIp('198.18.0.21'), { ...lease('198.18.0.21', 'a'), clientId: '0152', expiresMs: 9 })
  leases.apply([
    ['198.18.0.21', undefined],
    ['198.18.0.99', undefined],
  ])
  t.same(leases.all(), [lease('198.18.0.22', 'b')])
  t.end()
})

void t.test('changes of leases count all together or not at all', (t) => {
  const { leases } = opened()
  const good = { ip: '198.18.0.20', mac: 'a', clientId: undefined, expiresMs: 5 }
  const bad = { ...good, ip: '198.18.0.21', mac: 'b', expiresMs: 0.5 }
  for (const isDurable of [true, false]) {
    t.throws(() => {
      leases.apply(
        [
          [good.ip, good],
          [bad.ip, bad],
        ],
        isDurable,
      )
    })
  }
  t.same(leases.all(), [])
  t.end()
})

void t.test('boots are listed oldest first, and the latest is the one begun last', (t) => {
  const { boots } = opened()
  const later = { id: 'b', serverId: SERVER.id, startedMs: 20 }
  const earlier = { id: 'c', serverId: SERVER.id, startedMs: 10 }
  boots.insert(later)
  boots.insert(earlier)
  t.same(boots.list(SERVER.id), [earlier, later])
  t.same(boots.latest(SERVER.id), later)
  t.end()
})

void t.test('events are filtered, paged forward after a number, or the newest taken', (t) => {
  const { events } = opened()
  const none = { machineId: undefined, bootId: undefined, mac: undefined, ip: undefined, iqn: undefined }
  for (let n = 1; n <= 10; n++) {
    const serverId = n % 2 === 0 ? 'even' : undefined
    t.equal(events.insert({ ...none, atMs: n, kind: 'test.event', message: 'm', stage: 'dhcp', serverId }), n)
  }
  const seqs = (query: Parameters<typeof events.list>[0]): number[] =>
    events.list(query).map(({ seq }) => seq)
  t.same(seqs({ limit: 3 }), [8, 9, 10])
  t.same(seqs({ limit: 3, afterSeq: 0 }), [1, 2, 3])
  t.same(seqs({ limit: 2, serverId: 'even', afterSeq: 4 }), [6, 8])
  t.same(seqs({ limit: 2, serverId: 'even' }), [8, 10])
  t.same(seqs({ limit: 2, serverId: 'even', bootId: 'none' }), [])
  t.same(events.list({ limit: 1 })[0]?.stage, 'dhcp')
  t.equal(events.trim(4), 6)
  t.same(seqs({ limit: 99 }), [7, 8, 9, 10])
  t.equal(events.trim(4), 0)
  t.equal(events.trim(0), 4)
  const seq = events.insert({
    ...none,
    atMs: 1,
    kind: 'k',
    message: 'm',
    stage: undefined,
    serverId: undefined,
  })
  t.equal(seq, 11, 'a number is never used twice')
  t.end()
})

void t.test('jobs found running at start-up fail with the reason, finished ones stay', (t) => {
  const { jobs } = opened()
  const job = { kind: 'image.import', subject: 'debian-12', progress: 0, message: '', createdMs: 1 }
  jobs.insert({ ...job, id: 'a', status: 'RUNNING', endedMs: undefined })
  jobs.insert({ ...job, id: 'b', status: 'RUNNING', endedMs: undefined })
  const done = { ...job, id: 'b', status: 'SUCCESS', progress: 1, message: 'done', endedMs: 5 } as const
  jobs.update(done)
  t.equal(jobs.failRunning('the daemon ended', 9), 1)
  t.match(jobs.get('a'), { status: 'FAIL', message: 'the daemon ended', endedMs: 9 })
  t.same(jobs.get('b'), done)
  t.equal(jobs.list().length, 2)
  t.throws(
    () => {
      jobs.update({ ...done, id: 'none' })
    },
    { code: 'NOT_FOUND' },
  )
  t.end()
})

function distinctServer(): typeof SERVER {
  return {
    ...SERVER,
    id: 's2',
    name: 'web-2',
    machineId: 'none',
    volumeId: 'none',
    instanceId: 'instance-2',
    iqn: `${SERVER.iqn}-2`,
    initiatorIqn: `${SERVER.initiatorIqn}-2`,
    bootToken: 'token-2',
  }
}
