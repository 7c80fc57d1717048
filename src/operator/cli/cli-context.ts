import type { ApiClient } from './api-client.js'
import type { OutputFormat } from './output.js'

/** What every command shares: the global options, read when the command runs. */
export interface Cli {
  api(): ApiClient
  format(): OutputFormat
  /** The API path of one thing, its id or name escaped. */
  path(collection: string, id: string, action?: string): string
}
