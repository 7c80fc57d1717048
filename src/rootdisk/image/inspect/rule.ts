import type { ImageFacts } from './facts.js'

/** What a disk is good for while a rule fails: nothing, a local disk, or everything. */
export type Breaks = 'boot' | 'inic' | 'nothing'

/** One thing that every image should be. */
export interface Rule {
  readonly id: string
  readonly breaks: Breaks
  /** What is wrong, in words; undefined when nothing is. */
  readonly check: (facts: ImageFacts) => string | undefined
  readonly remedy: string
  /** `ingot image fix` can do it. */
  readonly isFixable: boolean
}

/** The first three, in words. */
export function told<T>(things: readonly T[], words: (thing: T) => string): string | undefined {
  const more = things.length > 3 ? `; and ${things.length - 3} more` : ''
  return things.length === 0 ? undefined : things.slice(0, 3).map(words).join('; ') + more
}
