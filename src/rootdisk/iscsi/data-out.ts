import { MalformedPacket } from '../../wire/malformed-packet.js'
import { checkCondition, SENSE, type Outcome } from '../scsi/sense.js'
import { dataOutBytes } from '../scsi/transfer-length.js'
import { NO_TAG } from './pdu.js'
import type { Task } from './task.js'

/**
 * The final bit comes with the last byte of a burst; unsolicited data may end earlier.
 * @throws MalformedPacket
 */
export function checkBurst(task: Task, isFinal: boolean): void {
  const isBurstDone = task.receivedBytes === task.burstEnd
  const isSolicited = task.ttt !== NO_TAG
  if (isSolicited ? isFinal === isBurstDone : isFinal || !isBurstDone) return
  throw new MalformedPacket('iSCSI Data-Out', 1, 'the final bit does not end the burst')
}

/**
 * RFC 7143 §11.7: with DataPDUInOrder and one burst at a time there is only one right next PDU.
 * @throws MalformedPacket
 */
export function checkDataOut(task: Task, bytes: Buffer, at: number, length: number): void {
  const [ttt, dataSn, offset] = [
    bytes.readUInt32BE(at + 20),
    bytes.readUInt32BE(at + 36),
    bytes.readUInt32BE(at + 40),
  ]
  if (ttt !== task.ttt) throw new MalformedPacket('iSCSI Data-Out', 20, 'not the transfer asked for')
  // A number that is not the next fails the command, not the session: at level 0 nothing is sent again (§7.1.4.1).
  if (dataSn !== task.dataSn) task.refusal ??= checkCondition(SENSE.PROTOCOL_SERVICE_CRC_ERROR)
  if (offset !== task.receivedBytes) throw new MalformedPacket('iSCSI Data-Out', 40, 'data out of order')
  if (offset + length > task.burstEnd)
    throw new MalformedPacket('iSCSI Data-Out', 5, 'more data than the burst has')
}

/** Bytes that the CDB would have taken beyond those the initiator had, negative when it took fewer (§11.4.5). */
export function excessOut(task: Task, outcome: Outcome): number {
  if (outcome.sense !== undefined) return 0
  const given = task.isWrite ? task.expectedBytes : 0
  return (dataOutBytes(task.cdb) ?? given) - given
}
