import t from 'tap'
import { powerDriverFor } from '../../../src/control/power/power.js'

void t.test('a machine without a BMC refuses in words what it cannot do', async (t) => {
  const driver = powerDriverFor({ name: 'm1' })
  t.equal(await driver.powerState(), 'unknown')
  const refusal = { code: 'WRONG_STATE', message: 'machine m1 has no BMC: power it on by hand' }
  await t.rejects(driver.powerOn(), refusal)
  await t.rejects(driver.powerOff({ force: true }), { code: 'WRONG_STATE' })
  await t.rejects(driver.reset({ force: true }), { code: 'WRONG_STATE' })
  await t.rejects(driver.setBootOnce('Pxe'), { code: 'WRONG_STATE' })
})

void t.test('a BMC needs a credentials file and the URL of a System without a password in it', (t) => {
  const good = 'redfish://198.18.0.1:8000/redfish/v1/Systems/m1'
  t.throws(() => powerDriverFor({ name: 'm1', bmcUrl: good }), { code: 'INVALID_INPUT' })
  for (const bmcUrl of [
    '',
    'http://h/redfish/v1/Systems/1',
    'redfish://h',
    'redfish://u:p@h/redfish/v1/Systems/1',
  ])
    t.throws(
      () => powerDriverFor({ name: 'm1', bmcUrl, bmcCredentialsFile: '/x' }),
      { code: 'INVALID_INPUT' },
      bmcUrl,
    )
  t.doesNotThrow(() => powerDriverFor({ name: 'm1', bmcUrl: good, bmcCredentialsFile: '/x' }))
  t.end()
})
