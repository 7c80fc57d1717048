import type { Database, Statement } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
import type { MachineRecord, NicRecord } from './records.js'
import { refusing, refusingInUse } from './refusal.js'
import { fromRow, type Row } from './row.js'

type MachineRow = Omit<Row<MachineRecord>, 'nics'>

const SELECT = `SELECT machines.id, machines.name, machines.firmware, machines.bmc_url AS bmcUrl,
  machines.bmc_credentials_file AS bmcCredentialsFile, machines.console_file AS consoleFile, machines.loader,
  machines.inic, machines.created_ms AS createdMs FROM machines`
const SELECT_NIC = `SELECT mac, machine_id AS machineId, position, ip, switch_port AS switchPort, role
  FROM nics`

/** The machines table, with each machine's nics. */
export class Machines {
  readonly #db: Database
  readonly #insert: Statement<[Omit<MachineRecord, 'nics'>]>
  readonly #insertNic: Statement<[NicRecord]>
  readonly #get: Statement<[string], MachineRow>
  readonly #findByName: Statement<[string], MachineRow>
  readonly #findByMac: Statement<[string], MachineRow>
  readonly #findBySwitchPort: Statement<[string], MachineRow>
  readonly #findByIp: Statement<[string], MachineRow>
  readonly #list: Statement<[], MachineRow>
  readonly #nics: Statement<[string], Row<NicRecord>>
  readonly #allNics: Statement<[], Row<NicRecord>>
  readonly #setSwitchPort: Statement<[{ id: string; switchPort: string | null }]>
  readonly #deleteNics: Statement<[string]>
  readonly #setInic: Statement<[{ id: string; inic: string }]>
  readonly #setLoader: Statement<[{ id: string; loader: string | null }]>
  readonly #withoutIp: Statement<[], number>
  readonly #delete: Statement<[string]>
  readonly #dependants: Statement<[string], string>

  constructor(db: Database) {
    this.#db = db
    this.#insert = db.prepare(`INSERT INTO machines
      (id, name, firmware, bmc_url, bmc_credentials_file, console_file, loader, inic, created_ms)
      VALUES (@id, @name, @firmware, @bmcUrl, @bmcCredentialsFile, @consoleFile, @loader, @inic, @createdMs)`)
    this.#insertNic = db.prepare(`INSERT INTO nics (mac, machine_id, position, ip, switch_port, role)
      VALUES (@mac, @machineId, @position, @ip, @switchPort, @role)`)
    this.#get = db.prepare(`${SELECT} WHERE id = ?`)
    this.#findByName = db.prepare(`${SELECT} WHERE name = ?`)
    this.#findByMac = db.prepare(`${SELECT} JOIN nics ON nics.machine_id = machines.id WHERE nics.mac = ?`)
    this.#findBySwitchPort = db.prepare(
      `${SELECT} JOIN nics ON nics.machine_id = machines.id WHERE nics.switch_port = ?`,
    )
    this.#findByIp = db.prepare(`${SELECT} JOIN nics ON nics.machine_id = machines.id WHERE nics.ip = ?`)
    this.#list = db.prepare(`${SELECT} ORDER BY name`)
    this.#nics = db.prepare(`${SELECT_NIC} WHERE machine_id = ? ORDER BY position`)
    this.#allNics = db.prepare(`${SELECT_NIC} ORDER BY machine_id, position`)
    this.#setSwitchPort = db.prepare(
      'UPDATE nics SET switch_port = @switchPort WHERE machine_id = @id AND position = 0',
    )
    this.#deleteNics = db.prepare('DELETE FROM nics WHERE machine_id = ?')
    this.#setInic = db.prepare('UPDATE machines SET inic = @inic WHERE id = @id')
    this.#setLoader = db.prepare('UPDATE machines SET loader = @loader WHERE id = @id')
    this.#withoutIp = db.prepare<[], number>('SELECT count(*) FROM nics WHERE ip IS NULL').pluck()
    this.#delete = db.prepare('DELETE FROM machines WHERE id = ?')
    this.#dependants = db
      .prepare<[string], string>(`SELECT 'server ' || name FROM servers WHERE machine_id = ?`)
      .pluck()
  }

  /**
   * Adds the machine and its nics, or nothing.
   * @throws DaemonError NAME_TAKEN, MAC_TAKEN, ADDRESS_TAKEN
   */
  insert(machine: MachineRecord): void {
    const { nics, ...row } = machine
    const insertAll = this.#db.transaction(() => {
      refusing(row, () => this.#insert.run(row))
      for (const nic of nics) refusing(nic, () => this.#insertNic.run(nic))
    })
    refusing(row, () => insertAll.immediate())
  }

  get(id: string): MachineRecord | undefined {
    return this.#withNics(this.#get.get(id))
  }

  /** By id first, else by name. */
  find(idOrName: string): MachineRecord | undefined {
    return this.get(idOrName) ?? this.#withNics(this.#findByName.get(idOrName))
  }

  /** The machine that has the NIC; `mac` as `parseMac` gives it. */
  findByMac(mac: string): MachineRecord | undefined {
    return this.#withNics(this.#findByMac.get(mac))
  }

  /** The machine that has a NIC at that port; `switchPort` as `switchPortName` writes it. */
  findBySwitchPort(switchPort: string): MachineRecord | undefined {
    return this.#withNics(this.#findBySwitchPort.get(switchPort))
  }

  /** The machine whose fixed address this is. */
  findByIp(ip: string): MachineRecord | undefined {
    return this.#withNics(this.#findByIp.get(ip))
  }

  /** How many NICs are to be given an address of a pool. */
  countNicsWithoutIp(): number {
    return this.#withoutIp.get() ?? 0
  }

  /** All, by name. */
  list(): MachineRecord[] {
    const machines = this.#list.all()
    const nicsOf = new Map<string, Row<NicRecord>[]>(machines.map((machine) => [machine.id, []]))
    for (const nic of this.#allNics.all()) nicsOf.get(nic.machineId)?.push(nic)
    return machines.map((row) => toRecord(row, nicsOf.get(row.id) ?? []))
  }

  /** Says where a machine's first NIC is plugged in. @throws DaemonError NAME_TAKEN, NOT_FOUND */
  setSwitchPort(id: string, switchPort: string | undefined): void {
    const values = { id, switchPort: switchPort ?? null }
    const { changes } = refusing(values, () => this.#setSwitchPort.run(values))
    if (changes === 0) throw new DaemonError('NOT_FOUND', `no machine has the id ${id}`)
  }

  /**
   * Gives a machine these nics instead of those it had, and says how its root disk comes; all or nothing.
   * @throws DaemonError NOT_FOUND, MAC_TAKEN, ADDRESS_TAKEN
   */
  setWiring({ id, inic, nics }: Pick<MachineRecord, 'id' | 'inic' | 'nics'>): void {
    const replaceAll = this.#db.transaction(() => {
      if (this.#setInic.run({ id, inic }).changes === 0)
        throw new DaemonError('NOT_FOUND', `no machine has the id ${id}`)
      this.#deleteNics.run(id)
      for (const nic of nics) refusing(nic, () => this.#insertNic.run(nic))
    })
    refusing({ id }, () => replaceAll.immediate())
  }

  /** Gives a machine a loader of its own, or the table's again. @throws DaemonError NOT_FOUND */
  setLoader(id: string, loader: string | undefined): void {
    const { changes } = refusing({ id }, () => this.#setLoader.run({ id, loader: loader ?? null }))
    if (changes === 0) throw new DaemonError('NOT_FOUND', `no machine has the id ${id}`)
  }

  /**
   * Whether there was one to delete; its nics go with it.
   * @throws DaemonError IN_USE while a server runs on it
   */
  delete(id: string): boolean {
    const dependants = (): string[] => this.#dependants.all(id)
    return refusingInUse(`machine ${id}`, dependants, () => this.#delete.run(id).changes > 0)
  }

  #withNics(row: MachineRow | undefined): MachineRecord | undefined {
    return row === undefined ? undefined : toRecord(row, this.#nics.all(row.id))
  }
}

function toRecord(row: MachineRow, nics: readonly Row<NicRecord>[]): MachineRecord {
  return fromRow<MachineRecord>({ ...row, nics: nics.map((nic) => fromRow<NicRecord>(nic)) })
}
