import type { Clock } from '../clock.js'
import { DaemonError } from '../errors.js'
import type { KeypairRecord, ServerKey } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { generateKey, parsePublicKey, type KeyType, type PublicKey } from './ssh-key.js'

/** It goes into URLs and into the documents of a seed. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** Keeps public keys by name, and makes pairs whose private half is told once and kept nowhere. */
export class Keypairs {
  readonly #registry: Registry
  readonly #clock: Clock

  constructor(deps: { registry: Registry; clock: Clock }) {
    this.#registry = deps.registry
    this.#clock = deps.clock
  }

  /** Makes a pair. @throws DaemonError INVALID_INPUT, NAME_TAKEN */
  async create(name: string, type: KeyType): Promise<{ keypair: KeypairRecord; privateKey: string }> {
    this.#expectFree(name)
    const { privateKey, ...made } = await generateKey(type, name)
    return { keypair: this.#insert(name, made), privateKey }
  }

  /** Keeps a public key that was made elsewhere. @throws DaemonError INVALID_INPUT, NAME_TAKEN */
  import(name: string, publicKey: string): KeypairRecord {
    this.#expectFree(name)
    return this.#insert(name, parsePublicKey(publicKey))
  }

  /** @throws DaemonError NOT_FOUND */
  get(name: string): KeypairRecord {
    const keypair = this.#registry.keypairs.get(name)
    if (keypair === undefined) throw new DaemonError('NOT_FOUND', `no key pair ${JSON.stringify(name)}`)
    return keypair
  }

  /** Every key pair. */
  list(): readonly KeypairRecord[] {
    return this.#registry.keypairs.list()
  }

  /** Forgets a key pair; servers that were given it keep it. @throws DaemonError NOT_FOUND */
  delete(name: string): void {
    this.#registry.keypairs.delete(this.get(name).name)
  }

  /**
   * The keys of a server: key pairs by name, then bare lines, which are called `key-0` and so on.
   * @throws DaemonError NOT_FOUND, INVALID_INPUT
   */
  ofServer(names: readonly string[], lines: readonly string[]): ServerKey[] {
    const twice = names.find((name, index) => names.indexOf(name) !== index)
    if (twice !== undefined)
      throw new DaemonError('INVALID_INPUT', `keys: ${JSON.stringify(twice)} is there twice`)
    const named = names.map((name) => this.get(name)).map(({ name, publicKey }) => ({ name, publicKey }))
    const free = lines.map((publicKey, index) => ({ name: `key-${index}`, publicKey }))
    const taken = free.find(({ name }) => names.includes(name))
    if (taken === undefined) return [...named, ...free]
    throw new DaemonError('INVALID_INPUT', `keys: ${taken.name} is the name of a bare key, too`)
  }

  #expectFree(name: string): void {
    if (!NAME.test(name)) {
      const rule = 'expected 1-64 letters, digits, dots, underscores or hyphens, a letter or digit first'
      throw new DaemonError('INVALID_INPUT', `name: ${rule}, got ${JSON.stringify(name)}`)
    }
    if (this.#registry.keypairs.get(name) !== undefined)
      throw new DaemonError('NAME_TAKEN', `a key pair is already named ${name}`)
  }

  #insert(name: string, { kind, publicKey, fingerprint }: PublicKey): KeypairRecord {
    const keypair = { name, kind, publicKey, fingerprint, createdMs: this.#clock.nowMs() }
    this.#registry.keypairs.insert(keypair)
    return keypair
  }
}
