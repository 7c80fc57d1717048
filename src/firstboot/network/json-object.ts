import { refused, shown } from './refusal.js'

/** One object of a hostile JSON document, read member by member; what nobody asked for is refused at its end. */
export class JsonObject {
  /** Where it stands in the document, `links[0].ipv4`; empty for the whole. */
  readonly field: string

  readonly #members: ReadonlyMap<string, unknown>

  readonly #asked = new Set<string>()

  /** @throws DaemonError INVALID_INPUT when `value` is no object */
  constructor(value: unknown, field: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw refused(field, `expected an object, got ${kindOf(value)}`)
    }
    this.field = field
    this.#members = new Map(Object.entries(value))
  }

  /** The path of a member as refusals name it. */
  path(name: string): string {
    return this.field === '' ? name : `${this.field}.${name}`
  }

  /** A member that may be left out. @throws DaemonError INVALID_INPUT when it is no string */
  text(name: string): string | undefined {
    const value = this.#take(name)
    return value === undefined ? undefined : textOf(value, this.path(name))
  }

  /** A member that must be there. @throws DaemonError INVALID_INPUT */
  neededText(name: string): string {
    return textOf(this.#take(name), this.path(name))
  }

  /** A member that may be left out. @throws DaemonError INVALID_INPUT when it is no number */
  number(name: string): number | undefined {
    const value = this.#take(name)
    return value === undefined ? undefined : numberOf(value, this.path(name))
  }

  /** A member that must be there. @throws DaemonError INVALID_INPUT */
  neededNumber(name: string): number {
    return numberOf(this.#take(name), this.path(name))
  }

  /** One of `choices`, or undefined when left out. @throws DaemonError INVALID_INPUT */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const text = this.text(name)
    const choice = choices.find((one) => one === text)
    if (text === undefined || choice !== undefined) return choice
    throw refused(this.path(name), `expected one of ${choices.join(', ')}, got ${shown(text)}`)
  }

  /** One of `choices`. @throws DaemonError INVALID_INPUT */
  neededChoice<T extends string>(name: string, choices: readonly T[]): T {
    const choice = this.choice(name, choices)
    if (choice !== undefined) return choice
    throw refused(this.path(name), `expected one of ${choices.join(', ')}, got nothing`)
  }

  /** A list, empty when left out, each item read with its own path. @throws DaemonError INVALID_INPUT */
  list<T>(name: string, read: (item: unknown, field: string) => T): readonly T[] {
    const value = this.#take(name) ?? []
    const field = this.path(name)
    if (!Array.isArray(value)) throw refused(field, `expected a list, got ${kindOf(value)}`)
    // Far above every bound of the model: what is longer is no slip, and not worth reading.
    if (value.length > 1024) throw refused(field, `expected a short list, got ${value.length} items`)
    return value.map((item: unknown, index) => read(item, `${field}[${index}]`))
  }

  /** An object, or undefined when left out. @throws DaemonError INVALID_INPUT */
  child(name: string): JsonObject | undefined {
    const value = this.#take(name)
    return value === undefined ? undefined : new JsonObject(value, this.path(name))
  }

  /** To be called when all was read. @throws DaemonError INVALID_INPUT when a member is left over */
  end(): void {
    for (const name of this.#members.keys()) {
      if (this.#asked.has(name)) continue
      throw refused(this.field, `${shown(name)} is not known here, only ${[...this.#asked].join(', ')}`)
    }
  }

  #take(name: string): unknown {
    this.#asked.add(name)
    return this.#members.get(name)
  }
}

/** `value` when it is a string. @throws DaemonError INVALID_INPUT */
export function textOf(value: unknown, field: string): string {
  if (typeof value === 'string') return value
  throw refused(field, `expected a string, got ${kindOf(value)}`)
}

function numberOf(value: unknown, field: string): number {
  if (typeof value === 'number') return value
  throw refused(field, `expected a number, got ${kindOf(value)}`)
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
