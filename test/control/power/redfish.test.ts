import { once } from 'node:events'
import { chmod, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { DaemonError } from '../../../src/errors.js'
import { powerDriverFor, type PowerDriver } from '../../../src/control/power/power.js'
import { RedfishListener } from '../../../src/rig/redfish-listener.js'
import { FakeManagedMachine } from '../../rig/fake-managed-machine.js'

const PASSWORD = 'hunter2-secret'
const TIMING = { requestMs: 300, tries: 2, retryPauseMs: 1, settleMs: 40, pollMs: 2, shutdownMs: 40 }
const log = pino({ level: 'silent' })

interface Bench {
  readonly driver: PowerDriver
  readonly machine: FakeManagedMachine
  readonly credentialsFile: string
}

async function credentials(t: Test, password = PASSWORD): Promise<string> {
  const file = join(t.testdir({}), 'bmc-credentials')
  await writeFile(file, `rig:${password}\n`, { mode: 0o600 })
  return file
}

function driverAt(port: number, bmcCredentialsFile: string): PowerDriver {
  const bmcUrl = `redfish://127.0.0.1:${String(port)}/redfish/v1/Systems/m1`
  return powerDriverFor({ name: 'm1', bmcUrl, bmcCredentialsFile }, { timing: TIMING })
}

async function bench(t: Test, password = PASSWORD): Promise<Bench> {
  const machine = new FakeManagedMachine()
  const listen = { host: '127.0.0.1', port: 0 }
  const listener = new RedfishListener({ machines: [machine], credentials: `rig:${PASSWORD}`, listen, log })
  await listener.start()
  t.teardown(() => listener.stop())
  const credentialsFile = await credentials(t, password)
  return { driver: driverAt(listener.port, credentialsFile), machine, credentialsFile }
}

/** A BMC that we write by hand. */
async function lyingBmc(t: Test, answer: RequestListener): Promise<PowerDriver> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo // listening on TCP
  return driverAt(port, await credentials(t))
}

async function refusalOf(work: Promise<unknown>): Promise<DaemonError> {
  const err: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(err instanceof DaemonError)) throw new Error('expected a DaemonError', { cause: err })
  return err
}

const SYSTEM = {
  PowerState: 'Off',
  Boot: { BootSourceOverrideEnabled: 'Disabled', BootSourceOverrideTarget: 'None' },
  Actions: { '#ComputerSystem.Reset': { target: '/redfish/v1/Systems/m1/reset-here' } },
}

void t.test('a machine is powered on, restarted and powered off, each once', async (t) => {
  const { driver, machine } = await bench(t)
  t.equal(await driver.powerState(), 'off')
  await driver.powerOn()
  await driver.powerOn()
  t.equal(await driver.powerState(), 'on')
  await driver.reset({ force: true })
  await driver.reset({ force: false })
  await driver.powerOff({ force: false })
  await driver.powerOff({ force: true })
  t.equal(await driver.powerState(), 'off')
  t.same(machine.pressed, ['On', 'ForceRestart', 'GracefulRestart', 'GracefulShutdown'])
})

void t.test('resetting a machine that is off powers it on', async (t) => {
  const { driver, machine } = await bench(t)
  await driver.reset({ force: true })
  t.same(machine.pressed, ['On'])
})

void t.test('network boot is set for the next start only', async (t) => {
  const { driver, machine } = await bench(t)
  await driver.setBootOnce('Pxe')
  t.same(machine.bootOverride, { enabled: 'Once', target: 'Pxe' })
})

void t.test('a wrong password is POWER_FAILED naming the file, not the password', async (t) => {
  const { driver, credentialsFile } = await bench(t, 'wrong-secret')
  const err = await refusalOf(driver.powerOn())
  t.equal(err.code, 'POWER_FAILED')
  t.match(err.message, `refused the credentials in ${credentialsFile} (401)`)
  t.notMatch(err.message, /secret/)
})

void t.test('a credentials file that everybody may read is refused before anything is sent', async (t) => {
  const { driver, credentialsFile } = await bench(t)
  await chmod(credentialsFile, 0o644)
  t.match((await refusalOf(driver.powerOn())).message, /readable by everybody/)
})

void t.test('a changed password is used without a restart', async (t) => {
  const { driver, credentialsFile } = await bench(t, 'wrong')
  await refusalOf(driver.powerState())
  await writeFile(credentialsFile, `rig:${PASSWORD}`)
  t.equal(await driver.powerState(), 'off')
})

void t.test('a BMC that hangs is given up after the tries', async (t) => {
  let asked = 0
  const driver = await lyingBmc(t, () => asked++)
  const err = await refusalOf(driver.powerState())
  t.match(err.message, /machine m1: BMC 127\.0\.0\.1:\d+: GET failed: no answer in 300 ms/)
  t.equal(asked, 2)
})

void t.test('a BMC that hangs after a reset was sent is not sent it again', async (t) => {
  let posts = 0
  const driver = await lyingBmc(t, (request, response) => {
    if (request.method === 'GET') response.end(JSON.stringify(SYSTEM))
    else posts++
  })
  t.match((await refusalOf(driver.powerOn())).message, /POST failed: no answer/)
  t.equal(posts, 1)
})

void t.test('a BMC that accepts power on but stays off is found out', async (t) => {
  const links: unknown[] = []
  const driver = await lyingBmc(t, (request, response) => {
    if (request.method === 'POST') links.push(request.url)
    response.end(request.method === 'GET' ? JSON.stringify(SYSTEM) : '')
  })
  t.match((await refusalOf(driver.powerOn())).message, /accepted On but the machine was off 40 ms later/)
  t.same(links, ['/redfish/v1/Systems/m1/reset-here'], 'the link of the BMC is followed')
})

void t.test('a BMC that accepts network boot but keeps its order is found out', async (t) => {
  const driver = await lyingBmc(t, (_, response) => response.end(JSON.stringify(SYSTEM)))
  const err = await refusalOf(driver.setBootOnce('Pxe'))
  t.match(err.message, /accepted network boot for the next start but says Disabled None afterwards/)
})

void t.test('a BMC that sends us to another host is not followed', async (t) => {
  const Actions = { '#ComputerSystem.Reset': { target: 'http://127.0.0.2:9/steal' } }
  const driver = await lyingBmc(t, (_, response) => response.end(JSON.stringify({ ...SYSTEM, Actions })))
  t.match((await refusalOf(driver.powerOn())).message, /link that leads away/)
})

void t.test("the BMC's own words reach the operator without control characters", async (t) => {
  const Message = 'license\u001b[2J expired'
  const body = JSON.stringify({
    error: { code: 'x', message: 'general', '@Message.ExtendedInfo': [{ Message }] },
  })
  const driver = await lyingBmc(t, (_, response) => response.writeHead(400).end(body))
  t.match(
    (await refusalOf(driver.powerState())).message,
    'answered 400 to GET /redfish/v1/Systems/m1: license [2J expired',
  )
})

void t.test('an answer that is not a System is POWER_FAILED, whatever it is', async (t) => {
  for (const body of ['', '[]', 'null', '<html>', '{"PowerState":7}', '{}']) {
    const driver = await lyingBmc(t, (_, response) => response.end(body))
    t.equal((await refusalOf(driver.powerState())).code, 'POWER_FAILED', body)
  }
})

void t.test('a BMC that sends without end is cut off', async (t) => {
  const driver = await lyingBmc(t, (_, response) => {
    const chunk = Buffer.alloc(65_536, ' ')
    const more = (): void => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', more)
    more()
  })
  t.equal((await refusalOf(driver.powerState())).code, 'POWER_FAILED')
})

void t.test('an overloaded BMC is asked again', async (t) => {
  let asked = 0
  const driver = await lyingBmc(t, (_, response) => {
    if (asked++ === 0) response.writeHead(503).end()
    else response.end(JSON.stringify({ ...SYSTEM, PowerState: 'PoweringOn' }))
  })
  t.equal(await driver.powerState(), 'unknown')
})

void t.test('an aborted wait ends at once', async (t) => {
  const aborter = new AbortController()
  const driver = await lyingBmc(t, () => {
    aborter.abort()
  })
  t.match((await refusalOf(driver.powerOn(aborter.signal))).message, /given up/)
})
