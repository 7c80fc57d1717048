import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { runCommand } from '../../src/command.js'
import type { SeedFile } from '../../src/firstboot/seed/seed-file.js'

// cloud-init's own code, installed or only unpacked (`dpkg -x` of the package), reads what we write.
const PACKAGES = [
  join(homedir(), '.cache/ingot/cloud-init/usr/lib/python3/dist-packages'),
  '/usr/lib/python3/dist-packages',
].find((path) => existsSync(join(path, 'cloudinit')))

/** Skip settings for a test that needs cloud-init's code, and its suffix for the test's name. */
export const cloudInitCode = {
  skip: PACKAGES === undefined,
  note: PACKAGES === undefined ? ' (skipped: no cloud-init in ~/.cache/ingot/cloud-init or installed)' : '',
}

/** The environment in which Python finds cloud-init's code. */
export function cloudInitEnvironment(): Record<string, string> {
  return { PYTHONPATH: PACKAGES ?? '', PYTHONDONTWRITEBYTECODE: '1' }
}

/** What Python says, to both outputs, with cloud-init's code on its path. */
export async function python(args: readonly string[]): Promise<string> {
  const env = cloudInitEnvironment()
  const { stdout, stderr } = await runCommand('/usr/bin/python3', args, { timeoutMs: 60_000, env })
  return stdout + stderr
}

/** Writes documents under a folder. */
export function putFiles(folder: string, files: readonly SeedFile[]): void {
  for (const { path, bytes } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), bytes)
  }
}
