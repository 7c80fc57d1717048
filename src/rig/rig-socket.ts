import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'

const REPLY_LIMIT_MS = 5000

/** What the rig says of a machine; the rest of the Redfish resource is not used. */
export interface SystemState {
  readonly PowerState: 'On' | 'Off'
}

/** Whether a rig answers on its Unix socket. */
export async function isAnswering(socketPath: string): Promise<boolean> {
  try {
    const response = await get(socketPath, '/redfish/v1/', '')
    response.resume()
    return response.statusCode === 200
  } catch {
    return false
  }
}

/** Asks the rig for a machine's System over its Unix socket. */
export async function askRig(socketPath: string, credentials: string, machine: string): Promise<SystemState> {
  const response = await get(socketPath, `/redfish/v1/Systems/${machine}`, credentials)
  let text = ''
  for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) text += chunk
  if (response.statusCode !== 200)
    throw new Error(`the rig answered ${response.statusCode ?? 0} for ${machine}`)
  return JSON.parse(text) as SystemState // our own rigd
}

async function get(socketPath: string, path: string, credentials: string): Promise<IncomingMessage> {
  const sent = request({ socketPath, path, agent: false, auth: credentials, timeout: REPLY_LIMIT_MS })
  sent.once('timeout', () => sent.destroy(new Error('the rig took too long to answer')))
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return response
}
