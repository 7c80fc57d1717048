import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const CONNECT_POLL_MS = 20
const REPLY_LIMIT_MS = 5000
const LINE_LIMIT = 1 << 20

/** How long the monitor's socket may take to appear: QEMU makes it while it starts. */
export interface QmpWait {
  readonly limitMs: number
  /** Aborted when QEMU has ended, so that nobody waits for it. */
  readonly signal: AbortSignal
}

/**
 * Runs QMP commands over a machine's monitor socket, one connection for all of them (QEMU docs/interop/qmp-spec).
 * @throws Error when QEMU refuses a command, ends, or does not answer in time
 */
export async function runQmp(path: string, commands: readonly string[], wait: QmpWait): Promise<void> {
  const socket = await connectWithin(path, wait)
  try {
    const replies = lines(socket)
    await nextReply(replies) // the greeting
    for (const execute of ['qmp_capabilities', ...commands]) {
      socket.write(`${JSON.stringify({ execute })}\n`)
      await nextReply(replies)
    }
  } finally {
    socket.destroy()
  }
}

async function connectWithin(path: string, { limitMs, signal }: QmpWait): Promise<Socket> {
  for (let waitedMs = 0; ; waitedMs += CONNECT_POLL_MS) {
    try {
      return await connected(path)
    } catch (err) {
      if (signal.aborted) throw new Error('QEMU ended at once; qemu.log says why', { cause: err })
      if (waitedMs >= limitMs) throw new Error(`QEMU's monitor ${path} does not answer`, { cause: err })
    }
    await delay(CONNECT_POLL_MS)
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.setTimeout(REPLY_LIMIT_MS, () => socket.destroy(new Error('QEMU took too long to answer')))
    socket.once('error', reject)
    socket.once('connect', () => resolve(socket))
  })
}

async function* lines(socket: Socket): AsyncGenerator<string, void> {
  let text = ''
  socket.setEncoding('utf8')
  for await (const chunk of socket as AsyncIterable<string>) {
    text += chunk
    if (text.length > LINE_LIMIT) throw new Error('QEMU sent an endless line')
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      yield text.slice(0, end)
      text = text.slice(end + 1)
    }
  }
}

/** The next line that is no event. */
async function nextReply(replies: AsyncGenerator<string, void>): Promise<void> {
  for (;;) {
    const { value, done } = await replies.next()
    if (done === true) throw new Error('QEMU closed its monitor')
    const message = JSON.parse(value) as Record<string, unknown> // QEMU's own, one object a line
    if ('error' in message) throw new Error(`QEMU refused: ${JSON.stringify(message['error'])}`)
    if ('return' in message || 'QMP' in message) return
  }
}
