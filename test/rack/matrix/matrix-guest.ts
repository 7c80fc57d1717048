import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ServerView } from '../../../src/operator/api/schema.js'
import { rigStatus } from '../../../src/rig/rig.js'
import { ADDRESS, until, type Stand, type StandMachine } from '../stand.js'
import type { RowLog } from './row-log.js'
import type { Row } from './rows.js'

const INSIDE = join(import.meta.dirname, 'network-inside.py').replace('/dist/', '/')
/** A guest of two cores is ready after 60 to 100 s on a quiet host; a busy one takes several times that. */
const READY_SECONDS = 900
const REBOOT_SECONDS = 900
const OFF_LIMIT_MS = 300_000
/** After `ready`: what is negotiated (LACP, duplicate address detection) takes some seconds more. */
const SETTLE_LIMIT_MS = 90_000
/** Not iscsistart's "Login I/O error", after which it tries again, and not iscsid's "conn error" when it takes over. */
const DISK_ERROR =
  /(?<!Login )I\/O error|EXT4-fs (?:error|warning)|Aborting journal|remount.*read-only|rejecting I\/O/i

/** The server of a row on its machine. */
export class MatrixGuest {
  readonly row: Row
  readonly log: RowLog
  readonly #stand: Stand
  readonly #machine: StandMachine

  constructor(stand: Stand, row: Row, machine: StandMachine, log: RowLog) {
    this.#stand = stand
    this.row = row
    this.#machine = machine
    this.log = log
  }

  get #server(): string {
    return `s-${this.#machine.name}`
  }

  get macs(): readonly string[] {
    return this.#machine.nics.map(({ mac }) => mac)
  }

  /** Enrols the machine and makes its server, with the row's network. */
  async create(): Promise<void> {
    const { row, macs } = this
    const { name } = this.#machine
    const nics = macs.flatMap((mac, i) => {
      const ip = i === 0 && row.ip !== undefined ? `,ip=${row.ip}` : ''
      return ['--nic', `${mac}${ip},role=${i === 0 && row.hasStorageNic ? 'storage' : 'tenant'}`]
    })
    const bmc = ['--bmc', `redfish://${ADDRESS}:8000/redfish/v1/Systems/${name}`]
    const credentials = ['--bmc-credentials-file', join(this.#stand.rigDir, 'bmc-credentials')]
    const hardware = ['--firmware', row.firmware, ...(row.inic === 'card' ? ['--inic', 'card'] : [])]
    await this.#stand.ingot(
      ...['machine', 'add', name, ...nics, ...hardware, ...bmc, ...credentials],
      ...['--console-file', this.#consoleFile],
    )
    const key = ['--ssh-key', join(this.#stand.dir, 'key.pub')]
    const network =
      row.document === undefined ? [] : ['--network', await this.#networkFile(row.document(macs))]
    const clone = ['--image', row.recipe, '--machine', name]
    await this.#stand.ingot('server', 'create', this.#server, ...clone, ...key, ...network)
    this.log.step('server created')
  }

  /** Powers on and waits for the guest's own word that it is ready. */
  async start(): Promise<void> {
    await this.#stand.ingot('server', 'start', this.#server, '--wait', '--timeout', String(READY_SECONDS))
    this.log.step('ready after power-on')
  }

  /** Restarts the guest and proves that it is another boot of a system that saw no disk fail. */
  async reboot(): Promise<void> {
    const [bootId, said] = [await this.#bootId(), await this.#console()]
    const limit = String(REBOOT_SECONDS)
    await this.#stand.ingot('server', 'reboot', this.#server, '--wait', '--timeout', limit)
    this.log.step('ready after a reboot')
    this.log.check('it is another boot', bootId !== (await this.#bootId()))
    await this.checkDisks(said.length)
  }

  /** Neither this boot's kernel nor the console, from that position on, tells of a disk that failed. */
  async checkDisks(consoleFrom = 0): Promise<void> {
    const text = `${await this.run('dmesg')}\n${(await this.#console()).slice(consoleFrom)}`
    this.#noDiskError('no I/O error', text)
  }

  /** Shuts the guest down by its power button, in bounded time and with no complaint on its console. */
  async stop(): Promise<void> {
    const from = (await this.#console()).length
    await this.#stand.ingot('server', 'stop', this.#server)
    await until(`${this.#machine.name} is off`, OFF_LIMIT_MS, async () => {
      const { machines } = await rigStatus(this.#stand.rigDir)
      return machines.find(({ name }) => name === this.#machine.name)?.powerState === 'Off'
    })
    this.log.step('off after a shutdown')
    this.#noDiskError('it shut down with no I/O error', (await this.#console()).slice(from))
    const server = await this.#stand.ingotJson<ServerView>('server', 'show', this.#server)
    this.log.check('the server is SHUTOFF', server.status === 'SHUTOFF', server.status)
  }

  /** The guest has the row's network and nothing more, and its peers answer. */
  async checkNetwork(when: string): Promise<void> {
    const wished = [...this.row.expected].sort()
    let found: readonly string[] = []
    await until('the network is as wished', SETTLE_LIMIT_MS, async () => {
      found = await this.facts()
      return found.join('\n') === wished.join('\n')
    }).catch(ignore)
    const missing = wished.filter((line) => !found.includes(line))
    const extra = found.filter((line) => !wished.includes(line))
    const differences = [
      ...missing.map((line) => `missing "${line}"`),
      ...extra.map((line) => `extra "${line}"`),
    ]
    this.log.check(
      `the network is exactly as wished ${when}`,
      differences.length === 0,
      differences.join(', '),
    )
    for (const peer of this.row.pings) {
      const heard = await this.run(`ping -n -q -c 3 -W 10 ${peer} >/dev/null && echo heard || true`)
      this.log.check(`${peer} answers`, heard.trim() === 'heard')
    }
  }

  /** Lines of network-inside.py. */
  async facts(): Promise<readonly string[]> {
    const program = await readFile(INSIDE, 'utf8')
    const script = `python3 - ${this.macs.join(' ')} <<'PYTHON'\n${program}\nPYTHON\n`
    return (await this.run(script)).trim().split('\n')
  }

  /** What a shell script prints in the guest. */
  run(script: string, timeoutMs = 300_000): Promise<string> {
    return this.#stand.ssh(this.row.shell, script, timeoutMs)
  }

  get #consoleFile(): string {
    return join(this.#stand.rigDir, this.#machine.name, 'console.log')
  }

  #console(): Promise<string> {
    return readFile(this.#consoleFile, 'latin1').catch(() => '')
  }

  async #bootId(): Promise<string> {
    return (await this.run('cat /proc/sys/kernel/random/boot_id')).trim()
  }

  async #networkFile(document: object): Promise<string> {
    const file = join(this.#stand.dir, `${this.#machine.name}-network.json`)
    await writeFile(file, JSON.stringify(document))
    return file
  }

  #noDiskError(what: string, text: string): void {
    const bad = text.split('\n').filter((line) => DISK_ERROR.test(line))
    this.log.check(what, bad.length === 0, bad.slice(0, 3).join(' | '))
  }
}

function ignore(): void {
  // what differs is told line by line
}
