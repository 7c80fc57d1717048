import { join } from 'node:path'

/** Where things lie below the state and run-time directories. */
export interface StateDirs {
  readonly stateDir: string
  readonly runDir: string
  readonly registryFile: string
  readonly layersDir: string
  readonly leasesDir: string
}

/** The fixed layout below `stateDir` (kept for ever) and `runDir` (gone with the host's next boot). */
export function stateDirs(stateDir: string, runDir: string): StateDirs {
  return {
    stateDir,
    runDir,
    registryFile: join(stateDir, 'registry.sqlite'),
    layersDir: join(stateDir, 'layers'),
    leasesDir: join(stateDir, 'leases'),
  }
}
