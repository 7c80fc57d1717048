/** Bytes from a peer that break their format: the peer's fault, counted and dropped where the socket is. */
export class MalformedPacket extends Error {
  override readonly name = 'MalformedPacket'

  /**
   * @param what the structure being read, e.g. `DHCP option clientArch`
   * @param offset byte offset inside that structure
   * @param reason what was expected and what came
   */
  constructor(what: string, offset: number, reason: string) {
    super(`${what}: ${reason} at byte ${offset}`)
  }
}
