import type { EmitEvent } from '../events.js'
import { readUserData } from '../firstboot/seed/user-data.js'
import type { ImageRecord, ServerRecord } from '../registry/records.js'

/** Tells what the system of a server will make nothing of: it is handed on all the same, and fails in silence there. */
export function tellUserDataWarnings(
  emit: EmitEvent,
  { id, name, userData }: Pick<ServerRecord, 'id' | 'name' | 'userData'>,
  osType: ImageRecord['osType'],
): void {
  if (userData === undefined) return
  for (const warning of readUserData(userData, osType).warnings) {
    const message = `user data of server ${name}: ${warning}`
    emit({ kind: 'server.user-data', message, serverId: id })
  }
}
