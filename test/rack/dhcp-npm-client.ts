// Run inside a network namespace by dhcp-clients.test.ts: the npm `dhcp` package's client asks once and prints what
// it was given. The package has no types.
import { createRequire } from 'node:module'

interface NpmDhcpClient {
  on(event: 'bound', listener: (state: { address: string }) => void): void
  on(event: 'error', listener: (cause: unknown) => void): void
  listen(port: number | undefined, host: string | undefined, ready: () => void): void
  sendDiscover(): void
  close(): void
}

const npmDhcp = createRequire(import.meta.url)('dhcp') as {
  createClient(options: { mac: string }): NpmDhcpClient
}
const client = npmDhcp.createClient({ mac: '02:00:00:00:0c:77' })
client.on('error', (cause) => process.stderr.write(`${String(cause)}\n`))
client.on('bound', ({ address }) => {
  process.stdout.write(address)
  client.close()
})
client.listen(undefined, undefined, () => {
  client.sendDiscover()
})
