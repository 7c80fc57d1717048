import fc from 'fast-check'
import t from 'tap'
import {
  MAX_TRIES,
  onAck,
  onPeerError,
  onPeerGone,
  onTime,
  startTransfer,
  type Transfer,
  type TransferAction,
  type TransferStep,
} from '../../../src/netboot/tftp/transfer.js'

const blocks = (first: number, last: number): TransferAction => ({ do: 'send-blocks', first, last })
const nothing: TransferAction = { do: 'nothing' }

function begin(sizeBytes: number, windowsize: number): Transfer {
  const start = startTransfer({ sizeBytes, blksize: 100, windowsize, hasOack: true }, 0)
  return onAck(start.transfer, 0, 0).transfer
}

void t.test('without options the first block goes out at once (RFC 1350)', (t) => {
  t.same(
    startTransfer({ sizeBytes: 250, blksize: 100, windowsize: 1, hasOack: false }, 0).action,
    blocks(1, 1),
  )
  t.end()
})

void t.test('with options the OACK waits for ACK 0 and nothing else (RFC 2347)', (t) => {
  const { transfer, action } = startTransfer(
    { sizeBytes: 250, blksize: 100, windowsize: 2, hasOack: true },
    0,
  )
  t.same(action, { do: 'send-oack' })
  t.same(onAck(transfer, 1, 0).action, nothing)
  t.same(onAck(transfer, 0, 0).action, blocks(1, 2))
  t.end()
})

void t.test('a file whose size is a multiple of blksize ends with an empty block (RFC 1350 §6)', (t) => {
  t.equal(begin(0, 1).lastBlock, 1)
  t.equal(begin(99, 1).lastBlock, 1)
  t.equal(begin(100, 1).lastBlock, 2)
  t.end()
})

void t.test('in lock step a duplicate ACK is not answered (RFC 1123 §4.2.3.1)', (t) => {
  const step = onAck(begin(1000, 1), 1, 0)
  t.same(step.action, blocks(2, 2))
  t.same(onAck(step.transfer, 1, 0).action, nothing)
  t.end()
})

void t.test('an ACK inside the window goes back to the gap, once (RFC 7440 §4)', (t) => {
  const step = onAck(begin(10_000, 8), 3, 0)
  t.same(step.action, blocks(4, 11))
  t.same(onAck(step.transfer, 3, 0).action, nothing)
  t.end()
})

void t.test('a repeated ACK in a window tells that its first block was lost, and is answered once', (t) => {
  const window = onAck(begin(10_000, 8), 8, 0)
  t.same(window.action, blocks(9, 16))
  const again = onAck(window.transfer, 8, 0)
  t.same(again.action, blocks(9, 16))
  t.same(onAck(again.transfer, 8, 0).action, nothing)
  t.end()
})

void t.test('an ACK of a block never sent is ignored', (t) => {
  t.same(onAck(begin(10_000, 4), 5, 0).action, nothing)
  t.same(onAck(begin(10_000, 4), 65_535, 0).action, nothing)
  t.end()
})

void t.test('an ERROR after the OACK is a size probe, later it is an abort', (t) => {
  const { transfer } = startTransfer({ sizeBytes: 9, blksize: 512, windowsize: 1, hasOack: true }, 0)
  t.same(onPeerError(transfer).action, { do: 'end', outcome: 'probed' })
  t.same(onPeerError(begin(9, 1)).action, { do: 'end', outcome: 'aborted' })
  t.end()
})

void t.test('a client that left after the last block has its file', (t) => {
  t.same(onPeerGone(begin(9, 1)).action, { do: 'end', outcome: 'complete' })
  t.same(onPeerGone(begin(900, 1)).action, { do: 'end', outcome: 'aborted' })
  t.end()
})

void t.test('a client that left before the first block only wanted the size', (t) => {
  const { transfer } = startTransfer({ sizeBytes: 9, blksize: 512, windowsize: 1, hasOack: true }, 0)
  t.same(onPeerGone(transfer).action, { do: 'end', outcome: 'probed' })
  t.end()
})

void t.test('time-outs double from 1 s to 8 s and end after the sixth', (t) => {
  let transfer = begin(900, 4)
  const waits: number[] = []
  let nowMs = 0
  for (let i = 0; i < MAX_TRIES; i++) {
    waits.push(transfer.deadlineMs - nowMs)
    nowMs = transfer.deadlineMs
    t.same(onTime(transfer, nowMs - 1).action, nothing)
    const step = onTime(transfer, nowMs)
    t.same(step.action, blocks(1, 4))
    transfer = step.transfer
  }
  t.same(waits, [1000, 2000, 4000, 8000, 8000, 8000])
  t.same(onTime(transfer, transfer.deadlineMs).action, { do: 'end', outcome: 'timed-out' })
  t.end()
})

void t.test('progress resets the back-off', (t) => {
  const late = onTime(begin(900, 1), 1000).transfer
  t.equal(onAck(late, 1, 1500).transfer.deadlineMs, 2500)
  t.end()
})

void t.test('any sequence of ACKs, errors and time-outs keeps the window right and never goes back', (t) => {
  const event = fc.oneof(
    fc.record({ ack: fc.integer({ min: 0, max: 0xffff }) }),
    fc.record({ near: fc.integer({ min: -3, max: 20 }) }),
    fc.constant({ time: true }),
  )
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 9_000_000 }),
      fc.integer({ min: 1, max: 16 }),
      fc.array(event, { maxLength: 60 }),
      (sizeBytes, windowsize, events) => {
        let transfer = begin(sizeBytes, windowsize)
        let nowMs = 0
        for (const item of events) {
          const before = transfer
          let step: TransferStep
          if ('ack' in item) step = onAck(transfer, item.ack, nowMs)
          else if ('near' in item) step = onAck(transfer, (transfer.ackedBlock + item.near) & 0xffff, nowMs)
          else step = onTime(transfer, (nowMs = transfer.deadlineMs))
          transfer = step.transfer
          if (transfer.ackedBlock < before.ackedBlock) return false
          if (step.action.do !== 'send-blocks') continue
          const { first, last } = step.action
          if (first !== transfer.ackedBlock + 1 || last - first >= windowsize || last > transfer.lastBlock)
            return false
        }
        return true
      },
    ),
  )
  t.end()
})

void t.test('a well-behaved client gets every block once across two 16-bit rollovers, at any window', (t) => {
  const total = 140_000
  for (const windowsize of [1, 2, 7, 16, 64, 1000, 65_535]) {
    const start = startTransfer({ sizeBytes: total * 8 - 1, blksize: 8, windowsize, hasOack: true }, 0)
    let step = onAck(start.transfer, 0, 0)
    let expected = 1
    while (step.action.do === 'send-blocks') {
      if (step.action.first !== expected) throw new Error('a block was repeated')
      expected = step.action.last + 1
      step = onAck(step.transfer, step.action.last & 0xffff, 0)
    }
    t.same(step.action, { do: 'end', outcome: 'complete' })
    t.equal(expected, total + 1, `window ${windowsize}`)
  }
  t.end()
})
