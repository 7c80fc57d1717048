import { readSync, writeSync } from 'node:fs'
import { receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads'
import { IO_READ, IoRing, type IoRequest } from './io-ring.js'

/** What an I/O thread is started with. */
export interface IoThreadData {
  readonly ring: SharedArrayBuffer
  /** Which of the ring's threads it is, from 0. */
  readonly index: number
  /** Brings {@link SharedMemory} before a request speaks of it. */
  readonly port: MessagePort
}

/** Memory that requests point into. */
export interface SharedMemory {
  readonly memoryId: number
  readonly memory: SharedArrayBuffer
}

const { ring: shared, index, port } = workerData as IoThreadData // our own parent made it
const ring = new IoRing(shared)
const memories: Uint8Array[] = []

/**
 * Quick ends are told together, after so long at the latest, for telling costs the owner a turn of its event loop:
 * a request, a system call and an answer each. What a disk is slow with is told at once.
 */
const TOGETHER_MS = 0.1

/**
 * One write to the kernel goes up to the next multiple of this, so that no cluster is ever cut. ext4 keeps what one
 * call wrote in one folio as large as that, and every later 4 KiB write into it walks all its blocks: 5 us in one of
 * 256 KiB, 14 us in one of 1 MiB, 2 us in one of 32 KiB.
 */
const WRITE_BYTES = 32 << 10

for (;;) {
  const beganMs = performance.now()
  let slot = ring.take()
  if (slot < 0) {
    ring.sleep(index)
    continue
  }
  do {
    ring.end(slot, perform(ring.request(slot)))
    slot = performance.now() - beganMs < TOGETHER_MS ? ring.take() : -1
  } while (slot >= 0)
  ring.tell()
}

/** Bytes moved, less than asked for at the end of the file only; or the negative errno. */
function perform(request: IoRequest): number {
  const { operation, fd, length, position } = request
  const bytes = memoryOf(request.memoryId)
  let done = 0
  try {
    while (done < length) {
      const [at, left, to] = [request.offset + done, length - done, position + done]
      const count =
        operation === IO_READ
          ? readSync(fd, bytes, at, left, to)
          : writeSync(fd, bytes, at, Math.min(left, WRITE_BYTES - (to % WRITE_BYTES)), to)
      if (count === 0) break
      done += count
    }
    return done
  } catch (err) {
    const { errno } = err as NodeJS.ErrnoException
    return errno ?? -5 // EIO: nothing else is thrown for arguments that are right
  }
}

function memoryOf(memoryId: number): Uint8Array {
  for (;;) {
    const known = memories[memoryId]
    if (known !== undefined) return known
    const message = receiveMessageOnPort(port) // sent before the request was queued
    if (message === undefined) continue
    const { memoryId: id, memory } = message.message as SharedMemory
    memories[id] = new Uint8Array(memory)
  }
}
