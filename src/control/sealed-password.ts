import { DaemonError } from '../errors.js'
import type { DaemonEvent } from '../events.js'
import type { ServerRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'

/** Longest that is taken of a guest: RSA 16384 and then some. */
const LIMIT_CHARACTERS = 4096
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * Keeps the password that a guest made and sealed with the server's key; once, so that nobody puts another over it.
 * @param text base64
 * @throws DaemonError NOT_FOUND, INVALID_INPUT; WRONG_STATE when there is one already
 */
export function sealPassword(
  { registry, emit }: { registry: Pick<Registry, 'servers'>; emit: (event: DaemonEvent) => void },
  serverId: string,
  text: string,
): void {
  const { id, name, sealedPassword } = existing(registry, serverId)
  if (text === '' || text.length > LIMIT_CHARACTERS || !BASE64.test(text)) {
    throw new DaemonError(
      'INVALID_INPUT',
      `password: expected at most ${LIMIT_CHARACTERS} characters of base64`,
    )
  }
  if (sealedPassword !== undefined)
    throw new DaemonError('WRONG_STATE', `password: server ${name} has posted one already`)
  registry.servers.change(id, { sealedPassword: text })
  const message = `server ${name} posted its sealed password`
  // Windows phones nobody when its first boot is done; this is the last that is heard of it.
  emit({ kind: 'server.password-sealed', stage: 'ready', message, serverId: id })
}

/** Forgets the sealed password, so that the guest may post another. @throws DaemonError NOT_FOUND */
export function clearPassword(registry: Pick<Registry, 'servers'>, idOrName: string): void {
  registry.servers.change(existing(registry, idOrName).id, { sealedPassword: undefined })
}

function existing({ servers }: Pick<Registry, 'servers'>, idOrName: string): ServerRecord {
  const server = servers.find(idOrName)
  if (server === undefined) throw new DaemonError('NOT_FOUND', `no server ${JSON.stringify(idOrName)}`)
  return server
}
