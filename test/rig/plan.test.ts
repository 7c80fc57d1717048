import t from 'tap'
import { planRig, type RigMachineOptions } from '../../src/rig/plan.js'

const m1: RigMachineOptions = { name: 'm1', nics: [{ mac: '52-54-00-18-00-0A' }], firmware: 'bios' }

void t.test('a plan has every default filled in and the same UUIDs each time', (t) => {
  const plan = planRig({ name: 'demo', dir: '/run/demo', machines: [m1] })
  t.same(plan, {
    version: 1,
    name: 'demo',
    namespace: 'ingot-demo',
    address: '198.18.0.1',
    tenantAddress: '198.18.1.1',
    prefixLength: 24,
    redfishPort: 8000,
    machines: [
      {
        name: 'm1',
        nics: [{ mac: '52:54:00:18:00:0a', segment: 'storage', tap: 'tap0' }],
        firmware: 'bios',
        memoryMib: 1024,
        cpus: 2,
        uuid: plan.machines[0]?.uuid,
      },
    ],
  })
  t.match(plan.machines[0]?.uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
  t.same(planRig({ name: 'demo', dir: '/elsewhere', machines: [m1] }).machines, plan.machines)
  t.end()
})

const nineNics = Array.from({ length: 9 }, (_, i) => ({ mac: `52:54:00:18:00:1${i}` }))

void t.test('each NIC has a tap of its own', (t) => {
  const nics = [{ mac: '52:54:00:18:00:01' }, { mac: '52:54:00:18:00:02', segment: 'wire' as const }]
  const [, planned] = planRig({
    name: 'demo',
    dir: '/run/demo',
    machines: [m1, { ...m1, name: 'm2', nics }],
  }).machines
  t.same(planned?.nics, [
    { mac: '52:54:00:18:00:01', segment: 'storage', tap: 'tap1' },
    { mac: '52:54:00:18:00:02', segment: 'wire', tap: 'tap1n1' },
  ])
  t.end()
})

void t.test('a plan that could not work or could escape is refused', (t) => {
  const bad = [
    { name: '../x', dir: '/run/demo', machines: [] },
    { name: '-x', dir: '/run/demo', machines: [] },
    { name: 'demo', dir: 'relative', machines: [] },
    { name: 'demo', dir: '/run/demo', machines: [], address: '198.18.0.1/24' },
    { name: 'demo', dir: '/run/demo', machines: [], tenantAddress: 'x' },
    { name: 'demo', dir: '/run/demo', machines: [], prefixLength: 33 },
    { name: 'demo', dir: '/run/demo', machines: [], redfishPort: 0 },
    { name: 'demo', dir: '/run/demo', machines: [m1, m1] },
    { name: 'demo', dir: '/run/demo', machines: [m1, { ...m1, name: 'm2' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, name: 'a/b' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, name: 'bmc-credentials' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, nics: [{ mac: 'aa' }] }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, nics: [] }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, nics: nineNics }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, nics: [...m1.nics, ...m1.nics] }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, cardSocket: 'nbd.sock' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, diskFile: 'disk.raw' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, memoryMib: 1.5 }] },
    { name: 'demo', dir: `/run/${'d'.repeat(100)}`, machines: [m1] },
  ]
  for (const options of bad)
    t.throws(() => planRig(options), { code: 'INVALID_INPUT' }, JSON.stringify(options))
  t.end()
})
