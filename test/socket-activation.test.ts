import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { inheritedSockets } from '../src/socket-activation.js'

const ACTIVATE = '/usr/bin/systemd-socket-activate'
const missing = !existsSync(ACTIVATE) && 'systemd-socket-activate is not installed'

void t.test('descriptors are counted from 3 and grouped by name', (t) => {
  const env = { LISTEN_PID: '42', LISTEN_FDS: '4', LISTEN_FDNAMES: 'dhcp:tftp:dhcp:' }
  const sockets = inheritedSockets(env, 42)
  t.same(
    [...sockets],
    [
      ['dhcp', [3, 5]],
      ['tftp', [4]],
      ['unknown', [6]],
    ],
  )
  t.end()
})

void t.test('sockets without names are unknown', (t) => {
  t.same([...inheritedSockets({ LISTEN_PID: '42', LISTEN_FDS: '2' }, 42)], [['unknown', [3, 4]]])
  t.end()
})

void t.test('outside systemd, and for another process, there are none', (t) => {
  t.equal(inheritedSockets({}, 42).size, 0)
  t.equal(inheritedSockets({ LISTEN_PID: '41', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' }, 42).size, 0)
  t.equal(inheritedSockets({ LISTEN_PID: '42', LISTEN_FDS: '0', LISTEN_FDNAMES: '' }, 42).size, 0)
  t.end()
})

void t.test('variables that contradict each other are an error', (t) => {
  t.throws(() => inheritedSockets({ LISTEN_PID: '42' }, 42), /LISTEN_FDS: expected a count/)
  t.throws(() => inheritedSockets({ LISTEN_PID: '42', LISTEN_FDS: '-1' }, 42), /LISTEN_FDS: expected a count/)
  const env = { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b:c' }
  t.throws(() => inheritedSockets(env, 42), /expected 2 names, got 3/)
  t.end()
})

/** Answers each connection to its socket `second` with the names, and with which descriptors are close-on-exec. */
const CHILD = `
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
const { inheritedSockets } = await import(process.env.MODULE)
const sockets = [...inheritedSockets(process.env, process.pid)]
const O_CLOEXEC = 0o2000000
const closed = (fd) => (parseInt(/flags:\\s*(\\d+)/.exec(readFileSync('/proc/self/fdinfo/' + fd, 'utf8'))[1], 8) & O_CLOEXEC) !== 0
const isClosedOnExec = sockets.flatMap(([, fds]) => fds.map(closed))
createServer((socket) => socket.end(JSON.stringify({ sockets, isClosedOnExec }))).listen({ fd: 4 })
`

void t.test(
  'a real activation serves on its sockets and no child inherits them',
  { skip: missing },
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'ingot-activation-')) // short: a socket path has 107 bytes
    const second = join(dir, 'second')
    const args = [
      '-l',
      join(dir, 'first'),
      '-l',
      second,
      '--fdname=first:second',
      '-E',
      `MODULE=${moduleUrl()}`,
    ]
    const node = [process.execPath, ...process.execArgv, '--input-type=module', '-e', CHILD]
    const child = spawn(ACTIVATE, [...args, ...node], { stdio: ['ignore', 'ignore', 'pipe'] })
    t.teardown(async () => {
      if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'close')
      rmSync(dir, { recursive: true })
    })
    await listening(child.stderr, second)
    const answer: unknown = JSON.parse(await text(connect(second)))
    t.same(answer, {
      sockets: [
        ['first', [3]],
        ['second', [4]],
      ],
      isClosedOnExec: [true, true],
    })
  },
)

function moduleUrl(): string {
  return new URL('../src/socket-activation.ts', import.meta.url).href
}

/** Resolves when systemd-socket-activate says that it listens on `path`; goes on reading what it says. */
function listening(stderr: NodeJS.ReadableStream, path: string): Promise<void> {
  let seen = ''
  return new Promise((resolve, reject) => {
    stderr.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
      if (seen.includes(`Listening on ${path}`)) resolve()
    })
    stderr.on('end', () => {
      reject(new Error(`systemd-socket-activate ended: ${seen}`))
    })
  })
}
