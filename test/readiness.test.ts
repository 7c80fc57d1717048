import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { notifyReady, notifyStopping } from '../src/readiness.js'

const PYTHON = '/usr/bin/python3'
const missing =
  (!existsSync('/usr/bin/systemd-notify') && 'systemd-notify is not installed') ||
  (!existsSync(PYTHON) && 'python3, which plays systemd, is not installed')

/** Node has no Unix datagram sockets: this prints "listening", then each line of each datagram. */
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('listening', flush=True)
while True:
    print(s.recv(4096).decode(), flush=True)
`

void t.test('outside systemd nothing is sent', async (t) => {
  await t.resolves(notifyReady(undefined))
  await t.resolves(notifyStopping(''))
})

void t.test('the manager is told of readiness and then of the stop', { skip: missing }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ingot-notify-')) // short: a socket path has 107 bytes
  const path = join(dir, 'notify')
  const listener = spawn(PYTHON, ['-c', LISTENER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: listener.stdout })[Symbol.asyncIterator]()
  const told = async (word: string): Promise<void> => {
    for (let line = await lines.next(); !line.done; line = await lines.next()) if (line.value === word) return
    throw new Error(`never told ${word}`)
  }
  t.teardown(async () => {
    listener.kill('SIGKILL')
    await once(listener, 'close')
    rmSync(dir, { recursive: true })
  })
  await told('listening')
  await notifyReady(path)
  await t.resolves(told('READY=1'))
  await notifyStopping(path)
  await t.resolves(told('STOPPING=1'))
})

void t.test('a socket that nobody reads is an error', { skip: missing }, async (t) => {
  await t.rejects(notifyReady(join(t.testdir(), 'none')), { name: 'CommandFailed' })
})
