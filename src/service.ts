import type { Logger } from 'pino'

/** A service that has not stopped by then is left behind. */
const STOP_DEADLINE_MS = 10_000

/** A long-running part of the daemon that owns sockets, timers or child processes. */
export interface Service {
  readonly name: string
  /** Resolves when ready to serve. Rejects, holding nothing open, if it cannot. */
  start(onFatal: (cause: Error) => void): Promise<void>
  /** Resolves when everything it owned is closed. Never rejects for a peer's sake. */
  stop(): Promise<void>
}

/**
 * Starts services in order, waits for `signal` or the first fatal error, stops them in reverse.
 * @param onReady called once, when every service has started
 * @throws the first start or fatal error, after every started service was stopped.
 */
export async function runServices(
  services: readonly Service[],
  signal: AbortSignal,
  log: Logger,
  onReady: () => void = ignore,
): Promise<void> {
  const started: Service[] = []
  const end = untilAbortOrFatal(signal)
  try {
    for (const service of services) {
      await service.start(end.onFatal)
      started.unshift(service)
      log.info({ svc: service.name }, 'service started')
    }
    onReady()
    await end.promise
  } finally {
    for (const service of started) await stopOne(service, log)
  }
}

async function stopOne(service: Service, log: Logger): Promise<void> {
  try {
    await withDeadline(service.stop(), `${service.name} did not stop in ${STOP_DEADLINE_MS} ms`)
    log.info({ svc: service.name }, 'service stopped')
  } catch (err) {
    log.error({ svc: service.name, err }, 'service did not stop cleanly')
  }
}

async function withDeadline(work: Promise<void>, message: string): Promise<void> {
  let timeout: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timeout = setTimeout(() => reject(new Error(message)), STOP_DEADLINE_MS)
  })
  await Promise.race([work, deadline]).finally(() => clearTimeout(timeout))
}

function untilAbortOrFatal(signal: AbortSignal): { promise: Promise<void>; onFatal: (cause: Error) => void } {
  let onFatal!: (cause: Error) => void
  const promise = new Promise<void>((resolve, reject) => {
    onFatal = reject
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) resolve()
  })
  promise.catch(ignore) // a service may die while later ones still start; `await end.promise` reports it
  return { promise, onFatal }
}

function ignore(): void {
  // deliberately empty
}
