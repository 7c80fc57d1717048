import { parseArgs } from 'node:util'
import pino, { type Logger } from 'pino'
import { loadConfig, type Config } from '../config.js'
import { DaemonError, systemCode } from '../errors.js'
import { notifyReady } from '../readiness.js'
import { runServices, type Service } from '../service.js'
import { inheritedSockets } from '../socket-activation.js'

/** setInterval's longest. */
const LONGEST_MS = 2 ** 31 - 1
const DEFAULT_CONFIG_FILE = '/etc/ingot/ingot.toml'

/** What a daemon's entry file is given to wire its services with. */
export interface EntryContext {
  readonly config: Config
  /** The file that `config` was read from. */
  readonly configFile: string
  readonly log: Logger
  /** Descriptors handed over by the service manager, by name. */
  readonly sockets: ReadonlyMap<string, readonly number[]>
}

/**
 * A daemon's life: argv, configuration, signals, services, exit code. SIGTERM and SIGINT end it with 0, a refusal
 * or a fatal error with 1.
 */
export async function runDaemon(
  name: string,
  wire: (context: EntryContext) => readonly Service[] | Promise<readonly Service[]>,
): Promise<void> {
  try {
    const { values } = parseArgs({
      options: {
        config: { type: 'string', default: DEFAULT_CONFIG_FILE },
        'check-config': { type: 'boolean' },
      },
    })
    const config = loadConfig(values.config)
    if (values['check-config'] === true) process.stdout.write(`${values.config}: good\n`)
    else await serve(name, { config, configFile: values.config }, wire)
  } catch (err) {
    process.exitCode = 1
    process.stderr.write(`${name}: ${sentenceOf(err)}\n`)
  }
}

/** A service that does nothing but `release` something when those after it in the list have stopped. */
export function atEnd(name: string, release: () => void | Promise<void>): Service {
  return { name, start: () => Promise.resolve(), stop: async () => release() }
}

/** A service that does nothing but `begin` something when those before it in the list have started. */
export function atStart(name: string, begin: () => void): Service {
  const start = (): Promise<void> => {
    begin()
    return Promise.resolve()
  }
  return { name, start, stop: () => Promise.resolve() }
}

/** The inherited descriptor of that name as an option, or no option. */
export function firstSocket(sockets: EntryContext['sockets'], name: string): { fd?: number } {
  const fd = sockets.get(name)?.[0]
  return fd === undefined ? {} : { fd }
}

async function serve(
  name: string,
  { config, configFile }: Pick<EntryContext, 'config' | 'configFile'>,
  wire: (context: EntryContext) => readonly Service[] | Promise<readonly Service[]>,
): Promise<void> {
  const log = pino({ name, level: config.logLevel })
  const end = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => end.abort())
  // The clock's timers hold no process: while only they are waited for, Node would end with status 13.
  const alive = setInterval(() => undefined, LONGEST_MS)
  try {
    const sockets = inheritedSockets(process.env, process.pid)
    const services = await wire({ config, configFile, log, sockets })
    await runServices(services, end.signal, log, () => ready(log))
  } finally {
    clearInterval(alive)
  }
}

function ready(log: Logger): void {
  log.info('ready')
  const notifySocket = process.env['NOTIFY_SOCKET']
  if (notifySocket === undefined) return
  notifyReady(notifySocket).catch((err: unknown) => log.warn({ err }, 'readiness could not be told'))
}

function sentenceOf(err: unknown): string {
  if (err instanceof DaemonError) return err.message
  const refusal = refusedAddress(err)
  if (refusal !== undefined) return refusal
  return err instanceof Error ? (err.stack ?? err.message) : String(err)
}

const ADDRESS_REFUSALS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'it is in use already',
  EADDRNOTAVAIL: 'it is no address of this host',
  EACCES: 'ports below 1024 need root or CAP_NET_BIND_SERVICE',
}

/** In words why an address could not be had; rooms wrap the system's error as their error's cause. */
export function refusedAddress(err: unknown): string | undefined {
  if (!(err instanceof Error)) return undefined
  const isOfSocket = 'syscall' in err && (err.syscall === 'listen' || err.syscall === 'bind')
  const reason = isOfSocket ? ADDRESS_REFUSALS[systemCode(err) ?? ''] : undefined
  if (reason === undefined) return refusedAddress(err.cause)
  const [address, port] = ['address' in err ? err.address : '', 'port' in err ? err.port : '']
  return `cannot listen on ${String(address)}:${String(port)}: ${reason}`
}
