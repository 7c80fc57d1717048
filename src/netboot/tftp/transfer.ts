// One read transfer as a pure state machine: RFC 1350 (lock step), RFC 2347 (OACK), RFC 7440 (windows).
// Blocks are counted from 1 without end; on the wire they are modulo 65536.

/** Where a transfer is. A new value comes with every step; nothing is changed in place. */
export interface Transfer {
  /** The number of the last, short (perhaps empty) block. */
  readonly lastBlock: number
  readonly windowsize: number
  readonly firstTimeoutMs: number
  readonly phase: 'oack' | 'data' | 'over'
  /** The highest block the client has with all before it. */
  readonly ackedBlock: number
  /** The highest block sent since `ackedBlock`; 0 before the first. */
  readonly sentBlock: number
  /** Whether what follows `ackedBlock` was sent twice because of an acknowledgement. */
  readonly hasRewound: boolean
  /** Time-outs since the last progress. */
  readonly tries: number
  readonly deadlineMs: number
}

/** What the socket has to do. `blocks` are first and last, both included. */
export type TransferAction =
  | { readonly do: 'nothing' }
  | { readonly do: 'send-oack' }
  | { readonly do: 'send-blocks'; readonly first: number; readonly last: number }
  | { readonly do: 'end'; readonly outcome: TransferOutcome }

/** How a transfer ended: `probed` is a client that only wanted the size (OVMF, ERROR 8 after the OACK). */
export type TransferOutcome = 'complete' | 'probed' | 'aborted' | 'timed-out'

/** The state after a step and what it asks for. */
export interface TransferStep {
  readonly transfer: Transfer
  readonly action: TransferAction
}

/** What a transfer begins with. */
export interface TransferStart {
  readonly sizeBytes: number
  readonly blksize: number
  readonly windowsize: number
  readonly hasOack: boolean
  /** First retransmission time-out, milliseconds; it doubles up to 8 s. Default 1 s. */
  readonly timeoutMs?: number
}

/** Retransmissions without progress before the transfer is given up. */
export const MAX_TRIES = 6
const FIRST_TIMEOUT_MS = 1000
const LONGEST_TIMEOUT_MS = 8000
const NOTHING: TransferAction = { do: 'nothing' }

/** The first step: the OACK, or without options the first window at once. */
export function startTransfer(start: TransferStart, nowMs: number): TransferStep {
  const firstTimeoutMs = start.timeoutMs ?? FIRST_TIMEOUT_MS
  const transfer: Transfer = {
    lastBlock: Math.floor(start.sizeBytes / start.blksize) + 1, // a multiple of blksize ends with an empty block
    windowsize: start.windowsize,
    firstTimeoutMs,
    phase: start.hasOack ? 'oack' : 'data',
    ackedBlock: 0,
    sentBlock: 0,
    hasRewound: false,
    tries: 0,
    deadlineMs: nowMs + firstTimeoutMs,
  }
  return start.hasOack ? { transfer, action: { do: 'send-oack' } } : sendWindow(transfer)
}

/** The client acknowledged `block` (16 bits). */
export function onAck(transfer: Transfer, block: number, nowMs: number): TransferStep {
  if (transfer.phase === 'over') return { transfer, action: NOTHING }
  if (transfer.phase === 'oack') {
    if (block !== 0) return { transfer, action: NOTHING }
    return advance(transfer, 0, false, nowMs)
  }
  const distance = (block - transfer.ackedBlock) & 0xffff
  if (distance === 0) return onDuplicateAck(transfer)
  if (distance > transfer.sentBlock - transfer.ackedBlock) return { transfer, action: NOTHING }
  const ackedBlock = transfer.ackedBlock + distance
  if (ackedBlock === transfer.lastBlock) return end(transfer, 'complete')
  // An ACK inside the window tells of a gap: go back to it. Its duplicates then mean nothing new.
  return advance(transfer, ackedBlock, ackedBlock < transfer.sentBlock, nowMs)
}

/** The client sent an ERROR. */
export function onPeerError(transfer: Transfer): TransferStep {
  if (transfer.phase === 'over') return { transfer, action: NOTHING }
  return end(transfer, transfer.phase === 'oack' ? 'probed' : 'aborted')
}

/**
 * The client's port is closed (ICMP): after the last block that is a client that left with its file; before the
 * first, one that only wanted the size, or whose request came once more when it had gone.
 */
export function onPeerGone(transfer: Transfer): TransferStep {
  if (transfer.phase === 'over') return { transfer, action: NOTHING }
  if (transfer.phase === 'oack') return end(transfer, 'probed')
  return end(transfer, transfer.sentBlock === transfer.lastBlock ? 'complete' : 'aborted')
}

/** Time has come: retransmits, waits longer, and gives up after {@link MAX_TRIES}. */
export function onTime(transfer: Transfer, nowMs: number): TransferStep {
  if (transfer.phase === 'over' || nowMs < transfer.deadlineMs) return { transfer, action: NOTHING }
  if (transfer.tries >= MAX_TRIES) return end(transfer, 'timed-out')
  const tries = transfer.tries + 1
  const longestMs = Math.max(LONGEST_TIMEOUT_MS, transfer.firstTimeoutMs)
  const waitMs = Math.min(transfer.firstTimeoutMs * 2 ** tries, longestMs)
  const later = { ...transfer, tries, hasRewound: false, deadlineMs: nowMs + waitMs }
  return later.phase === 'oack' ? { transfer: later, action: { do: 'send-oack' } } : sendWindow(later)
}

/**
 * A lock-step client's duplicate is never answered (RFC 1123 §4.2.3.1, the Sorcerer's Apprentice). In a window it is
 * how a client says that the first block was lost (RFC 7440 §4): answered once for each position, so that two
 * impatient sides cannot multiply packets, and without more time, so that it cannot keep a transfer for ever.
 */
function onDuplicateAck(transfer: Transfer): TransferStep {
  if (transfer.windowsize === 1 || transfer.hasRewound) return { transfer, action: NOTHING }
  return sendWindow({ ...transfer, hasRewound: true })
}

/** The window after `ackedBlock`. Written out: at a window of 1 a spread costs a tenth of the whole packet. */
function advance(
  { lastBlock, windowsize, firstTimeoutMs }: Transfer,
  ackedBlock: number,
  hasRewound: boolean,
  nowMs: number,
): TransferStep {
  const sentBlock = Math.min(ackedBlock + windowsize, lastBlock)
  const deadlineMs = nowMs + firstTimeoutMs
  const phase = 'data'
  return {
    transfer: {
      lastBlock,
      windowsize,
      firstTimeoutMs,
      phase,
      ackedBlock,
      sentBlock,
      hasRewound,
      tries: 0,
      deadlineMs,
    },
    action: { do: 'send-blocks', first: ackedBlock + 1, last: sentBlock },
  }
}

function sendWindow(transfer: Transfer): TransferStep {
  const first = transfer.ackedBlock + 1
  const last = Math.min(transfer.ackedBlock + transfer.windowsize, transfer.lastBlock)
  return { transfer: { ...transfer, sentBlock: last }, action: { do: 'send-blocks', first, last } }
}

function end(transfer: Transfer, outcome: TransferOutcome): TransferStep {
  return { transfer: { ...transfer, phase: 'over' }, action: { do: 'end', outcome } }
}
