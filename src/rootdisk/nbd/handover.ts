/** What a client was told when it began to send requests: all that another process needs to go on. */
export interface HandedClient {
  readonly exportName: string
  readonly isStructured: boolean
  readonly hasAllocation: boolean
  /** What it has sent since. */
  readonly received: Buffer
}
