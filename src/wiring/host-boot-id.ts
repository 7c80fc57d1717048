import { readFileSync } from 'node:fs'

/** Tells one start of the host from the next: what lies under the run-time directory is of this one, or void. */
export function hostBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() // procfs: memory, no disk
}
