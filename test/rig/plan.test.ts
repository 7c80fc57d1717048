import t from 'tap'
import { planRig, type RigMachineOptions } from '../../src/rig/plan.js'

const m1: RigMachineOptions = { name: 'm1', mac: '52-54-00-18-00-0A', firmware: 'bios' }

void t.test('a plan has every default filled in and the same UUIDs each time', (t) => {
  const plan = planRig({ name: 'demo', dir: '/run/demo', machines: [m1] })
  t.same(plan, {
    version: 1,
    name: 'demo',
    namespace: 'ingot-demo',
    address: '198.18.0.1',
    prefixLength: 24,
    redfishPort: 8000,
    machines: [
      {
        name: 'm1',
        mac: '52:54:00:18:00:0a',
        firmware: 'bios',
        memoryMib: 1024,
        cpus: 2,
        uuid: plan.machines[0]?.uuid,
        tap: 'tap0',
      },
    ],
  })
  t.match(plan.machines[0]?.uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
  t.same(planRig({ name: 'demo', dir: '/elsewhere', machines: [m1] }).machines, plan.machines)
  t.end()
})

void t.test('a plan that could not work or could escape is refused', (t) => {
  const bad = [
    { name: '../x', dir: '/run/demo', machines: [] },
    { name: '-x', dir: '/run/demo', machines: [] },
    { name: 'demo', dir: 'relative', machines: [] },
    { name: 'demo', dir: '/run/demo', machines: [], address: '198.18.0.1/24' },
    { name: 'demo', dir: '/run/demo', machines: [], prefixLength: 33 },
    { name: 'demo', dir: '/run/demo', machines: [], redfishPort: 0 },
    { name: 'demo', dir: '/run/demo', machines: [m1, m1] },
    { name: 'demo', dir: '/run/demo', machines: [m1, { ...m1, name: 'm2' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, name: 'a/b' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, name: 'bmc-credentials' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, mac: 'aa' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, cardSocket: 'nbd.sock' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, diskFile: 'disk.raw' }] },
    { name: 'demo', dir: '/run/demo', machines: [{ ...m1, memoryMib: 1.5 }] },
    { name: 'demo', dir: `/run/${'d'.repeat(100)}`, machines: [m1] },
  ]
  for (const options of bad)
    t.throws(() => planRig(options), { code: 'INVALID_INPUT' }, JSON.stringify(options))
  t.end()
})
