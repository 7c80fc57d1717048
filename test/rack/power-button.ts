import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import type { Stand } from './stand.js'

/** Presses a machine's power button through its BMC, past the daemons. */
export async function press(stand: Stand, name: string, type: 'On' | 'ForceOff'): Promise<void> {
  const auth = (await readFile(join(stand.rigDir, 'bmc-credentials'), 'utf8')).trim()
  const path = `/redfish/v1/Systems/${name}/Actions/ComputerSystem.Reset`
  const options = { socketPath: join(stand.rigDir, 'rig.sock'), path, method: 'POST', auth }
  await new Promise<void>((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const call = request({ ...options, headers }, (response) => {
      const { statusCode = 0 } = response.resume()
      if (statusCode < 300) resolve()
      else reject(new Error(`${name} ${type}: the controller answered ${statusCode}`))
    })
    call.on('error', reject).end(JSON.stringify({ ResetType: type }))
  })
}
