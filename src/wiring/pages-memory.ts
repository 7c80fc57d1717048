import { isDeepStrictEqual } from 'node:util'
import type { Pages } from '../firstboot/metadata/pages.js'
import type { ImageRecord, MachineRecord, ServerRecord } from '../registry/records.js'

/** Of one server; some 50 KB each. */
const MOST_PAGES = 512

/** What the pages of a server are made of. */
export interface PageRecords {
  readonly server: ServerRecord
  readonly machine: MachineRecord
  readonly image: ImageRecord | undefined
}

/**
 * Remembers the pages of servers for as long as the records that they are made of are the same. A server that boots asks
 * for thirty pages in a second, while tokens and states of a thousand others change in the registry.
 */
export class PagesMemory {
  readonly #known = new Map<string, { readonly records: PageRecords; readonly pages: Pages }>()

  /** The pages of these records, rendered when they are not those of the last time. */
  get(records: PageRecords, render: () => Pages): Pages {
    const lasting = { ...records, server: withoutBoot(records.server) }
    const { id } = records.server
    const before = this.#known.get(id)
    const isSame = before !== undefined && isDeepStrictEqual(before.records, lasting)
    const entry = isSame ? before : { records: lasting, pages: render() }
    this.#known.delete(id)
    this.#known.set(id, entry)
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MOST_PAGES) break
      this.#known.delete(oldest)
    }
    return entry.pages
  }
}

/** What changes from boot to boot is in no page. */
function withoutBoot(server: ServerRecord): ServerRecord {
  return { ...server, bootToken: '', chapSecret: '', status: 'ACTIVE', rescue: undefined }
}
