import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DaemonError } from '../../../errors.js'
import { DISK_PATH, INPUT_PATH, type DiskTool } from '../inspect/disk-tool.js'

/** What debugfs and e2fsck may say. */
const ANSWER_BYTES = 1 << 20

/** Changes files of an ext file system without a kernel. Paths are ours, never an image's. */
export class ExtEditor {
  readonly #tool: DiskTool
  readonly #device: string

  /** @param tool one that may write */
  constructor(tool: DiskTool, startBytes: number) {
    this.#tool = tool
    this.#device = `${DISK_PATH}?offset=${startBytes}`
  }

  /** Replays the journal and checks all of it: before the first change and after the last. @throws DaemonError */
  async check(more: readonly string[] = []): Promise<void> {
    const { stderr, isOk } = await this.#tool.run(['e2fsck', '-f', '-y', ...more, this.#device], ANSWER_BYTES)
    // a second run has nothing to correct where the first one could
    const again = isOk ? undefined : await this.#tool.run(['e2fsck', '-f', '-n', this.#device], ANSWER_BYTES)
    if (again !== undefined && !again.isOk)
      throw new DaemonError('WRONG_STATE', `the file system cannot be repaired (${stderr.trim()})`)
  }

  /** Puts a file of root's at `path`, whose directory is there; what was there goes. */
  async write(path: string, content: string | Uint8Array, mode = '0644'): Promise<void> {
    await writeFile(join(this.#tool.scratchDir, 'content'), content)
    const [folder, name] = split(path)
    await this.#debugfs(
      `cd ${folder}`,
      `rm ${name}`,
      `write ${INPUT_PATH}/content ${name}`,
      `sif ${name} mode 010${mode}`,
    )
  }

  /** Removes the file, if it is there. */
  async remove(path: string): Promise<void> {
    const [folder, name] = split(path)
    await this.#debugfs(`cd ${folder}`, `rm ${name}`)
  }

  /** Gives the file system another label. */
  async setLabel(label: string): Promise<void> {
    await this.#debugfs(`ssv volume_name ${label}`)
  }

  async #debugfs(...requests: readonly string[]): Promise<void> {
    await writeFile(join(this.#tool.scratchDir, 'requests'), requests.map((line) => `${line}\n`).join(''))
    await this.#tool.run(['debugfs', '-w', '-f', `${INPUT_PATH}/requests`, this.#device], ANSWER_BYTES)
  }
}

function split(path: string): [folder: string, name: string] {
  const at = path.lastIndexOf('/')
  return [path.slice(0, at) || '/', path.slice(at + 1)]
}
