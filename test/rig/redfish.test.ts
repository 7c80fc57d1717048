import t from 'tap'
import { answerRedfish, type RedfishReply } from '../../src/rig/redfish.js'
import { FakeManagedMachine } from './fake-managed-machine.js'

const SYSTEM = '/redfish/v1/Systems/m1'
const RESET = `${SYSTEM}/Actions/ComputerSystem.Reset`

function ask(
  machine: FakeManagedMachine,
  method: string,
  path: string,
  body?: unknown,
): Promise<RedfishReply> {
  return answerRedfish({ method, path, body }, [machine])
}

void t.test('a client finds the reset link from the service root', async (t) => {
  const machine = new FakeManagedMachine()
  t.match(await ask(machine, 'GET', '/redfish'), { status: 200, body: { v1: '/redfish/v1/' } })
  t.match(await ask(machine, 'GET', '/redfish/v1/'), {
    body: { Systems: { '@odata.id': '/redfish/v1/Systems' } },
  })
  t.match(await ask(machine, 'GET', '/redfish/v1/Systems'), { body: { Members: [{ '@odata.id': SYSTEM }] } })
  const { body } = await ask(machine, 'GET', SYSTEM)
  t.match(body, { PowerState: 'Off', Actions: { '#ComputerSystem.Reset': { target: RESET } } })
})

void t.test('a boot override is accepted, read back and taken away', async (t) => {
  const machine = new FakeManagedMachine()
  const Boot = { BootSourceOverrideEnabled: 'Continuous', BootSourceOverrideTarget: 'Hdd' }
  t.match(await ask(machine, 'PATCH', SYSTEM, { Boot }), { status: 200, body: { Boot } })
  t.match(await ask(machine, 'GET', SYSTEM), { body: { Boot } })
  await ask(machine, 'PATCH', SYSTEM, { Boot: { BootSourceOverrideEnabled: 'Disabled' } })
  t.same(machine.bootOverride, { enabled: 'Disabled', target: 'None' })
})

void t.test('what the BMC cannot do is refused with a Redfish error', async (t) => {
  const machine = new FakeManagedMachine()
  t.match(await ask(machine, 'GET', '/redfish/v1/Systems/m2'), { status: 404, body: { error: {} } })
  t.match(await ask(machine, 'DELETE', SYSTEM), { status: 405, allow: 'GET, PATCH' })
  t.match(await ask(machine, 'GET', RESET), { status: 405, allow: 'POST' })
  t.match(await ask(machine, 'POST', RESET, { ResetType: 'Explode' }), { status: 400 })
  t.match(await ask(machine, 'POST', RESET, { ResetType: 'GracefulShutdown' }), { status: 409 })
  t.match(await ask(machine, 'PATCH', SYSTEM, {}), { status: 400 })
  t.match(await ask(machine, 'PATCH', SYSTEM, { Boot: { BootSourceOverrideEnabled: 'Never' } }), {
    status: 400,
  })
  t.match(
    await ask(machine, 'PATCH', SYSTEM, {
      Boot: { BootSourceOverrideEnabled: 'Once', BootSourceOverrideTarget: 'Usb' },
    }),
    { status: 400 },
  )
})
