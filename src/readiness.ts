import { runCommand } from './command.js'

/** systemd-notify itself waits at most 5 s for the manager to have read the message. */
const TIMEOUT_MS = 10_000

/**
 * Tells systemd that every service has started (`Type=notify`); does nothing outside systemd.
 * @param notifySocket NOTIFY_SOCKET of the environment
 * @throws CommandFailed when systemd-notify cannot run or send
 */
export async function notifyReady(notifySocket: string | undefined): Promise<void> {
  await notify(notifySocket, '--ready')
}

/**
 * Tells systemd that a wished-for stop has begun; does nothing outside systemd.
 * @throws CommandFailed when systemd-notify cannot run or send
 */
export async function notifyStopping(notifySocket: string | undefined): Promise<void> {
  await notify(notifySocket, 'STOPPING=1')
}

/**
 * Node has no Unix datagram socket, so the message goes through systemd's own program. Its sender is then not
 * the main process: the unit needs `NotifyAccess=all`. And systemd looks the sender up by its process id, which
 * must still exist by then: so no `--no-block`, systemd-notify stays until the manager has read the message.
 */
async function notify(notifySocket: string | undefined, message: string): Promise<void> {
  if (notifySocket === undefined || notifySocket === '') return
  await runCommand('systemd-notify', [message], {
    timeoutMs: TIMEOUT_MS,
    env: { NOTIFY_SOCKET: notifySocket },
  })
}
