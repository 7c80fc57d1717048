import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** The path of a Debian tool, or undefined. */
export function findTool(name: string): string | undefined {
  return ['/usr/bin', '/usr/sbin', '/bin', '/sbin']
    .map((folder) => `${folder}/${name}`)
    .find((path) => existsSync(path))
}

/** What `program` writes to standard output; throws when it fails. */
export function outputOf(program: string, args: readonly string[], cwd?: string): string {
  return execFileSync(program, args, {
    cwd,
    encoding: 'utf8',
    timeout: 30_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** Skip settings for a test that needs the tool, and its suffix for the test's name. */
export function needs(tool: string): { skip: boolean; note: string } {
  const isMissing = findTool(tool) === undefined
  return { skip: isMissing, note: isMissing ? ` (skipped: ${tool} is not installed)` : '' }
}
