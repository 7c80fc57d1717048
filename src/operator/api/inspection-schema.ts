import { Type, type Static } from 'typebox'
import { Name, strict } from './schema.js'

/** POST /images/inspect: a file of the daemon's host */
export const InspectBody = Type.Object({ path: Type.String({ minLength: 1, maxLength: 4096 }) }, strict)
export type InspectBody = Static<typeof InspectBody>

/** POST /images/:id/fix: without `apply`, every remedy that there is */
export const FixBody = Type.Object(
  {
    name: Name,
    apply: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: 64 })),
  },
  strict,
)
export type FixBody = Static<typeof FixBody>

/** POST /images/:id/inspect, /images/inspect */
export interface InspectionView {
  /** Good for a server over iNIC (and all the rest), for a local disk, or for nothing. */
  readonly verdict: 'inic' | 'local' | 'none'
  readonly findings: readonly {
    readonly rule: string
    readonly breaks: 'boot' | 'inic' | 'nothing'
    readonly seen: string
    readonly remedy: string
    /** `ingot image fix` can do it. */
    readonly is_fixable: boolean
  }[]
  /** The image properties that follow. */
  readonly properties: Readonly<Record<string, string>>
  /** What was seen, in words. */
  readonly facts: Readonly<Record<string, string>>
  /** What every clone would have; null when each makes its own. */
  readonly machine_id: string | null
}
