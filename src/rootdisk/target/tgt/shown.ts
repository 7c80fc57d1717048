// What tgtd prints for people is all that it tells programs (tgt 1.0.85; recorded in fixtures/tgt).

/** A session of a target. */
export interface ShownNexus {
  readonly id: number
  readonly initiator: string
  readonly address: string
}

/** A logical unit of a target. */
export interface ShownLun {
  readonly lun: number
  readonly path: string
  readonly serial: string
  readonly isReadOnly: boolean
}

/** A target as tgtd has it. */
export interface ShownTarget {
  readonly tid: number
  readonly iqn: string
  readonly nexuses: readonly ShownNexus[]
  /** Without LUN 0, which is tgtd's own. */
  readonly luns: readonly ShownLun[]
  readonly accounts: readonly string[]
  /** Initiator names and addresses that are let in. */
  readonly acl: readonly string[]
}

/** Every target in what `--mode target --op show` prints. Lines that it does not know are left out; never throws. */
export function parseTargets(text: string): ShownTarget[] {
  return blocksOf(text, /^Target (\d+): (\S+)/).map(({ match, body }) => {
    const section = sectionsOf(body)
    return {
      tid: Number(match[1]),
      iqn: match[2] ?? '',
      nexuses: blocksOf(section('I_T nexus'), /^ +I_T nexus: (\d+)/).map(nexusOf),
      luns: blocksOf(section('LUN'), /^ +LUN: (\d+)/)
        .map(lunOf)
        .filter(({ lun }) => lun !== 0),
      accounts: wordsOf(section('Account')),
      acl: wordsOf(section('ACL')),
    }
  })
}

/** Bytes that each session has read of each LUN, in what `--mode target --op stat` prints. Never throws. */
export function parseReads(text: string): { lun: number; nexus: number; bytes: number }[] {
  return text.split('\n').flatMap((line) => {
    const [tid, lun, nexus, , , bytes] = line.trim().split(/\s+/).map(Number)
    if (Number.isNaN(tid) || lun === undefined || nexus === undefined || bytes === undefined) return []
    return [{ lun, nexus, bytes }]
  })
}

interface Block {
  readonly match: RegExpExecArray
  readonly body: string
}

/** The lines that fit `head`, each with those that follow it. */
function blocksOf(text: string, head: RegExp): Block[] {
  const blocks: { match: RegExpExecArray; lines: string[] }[] = []
  for (const line of text.split('\n')) {
    const match = head.exec(line)
    if (match === null) blocks.at(-1)?.lines.push(line)
    else blocks.push({ match, lines: [] })
  }
  return blocks.map(({ match, lines }) => ({ match, body: lines.join('\n') }))
}

function sectionsOf(text: string): (name: string) => string {
  const sections = new Map(
    blocksOf(text, /^ {4}(\S.*) information:/).map(({ match, body }) => [match[1] ?? '', body]),
  )
  return (name) => sections.get(name) ?? ''
}

function nexusOf({ match, body }: Block): ShownNexus {
  return {
    id: Number(match[1]),
    initiator: /Initiator: (\S+)/.exec(body)?.[1] ?? '',
    address: /IP Address: (\S+)/.exec(body)?.[1] ?? '',
  }
}

function lunOf({ match, body }: Block): ShownLun {
  const field = (name: string): string => new RegExp(`^ +${name}: *(.*)$`, 'm').exec(body)?.[1] ?? ''
  return {
    lun: Number(match[1]),
    path: field('Backing store path'),
    serial: field('SCSI SN'),
    isReadOnly: field('Readonly') === 'Yes',
  }
}

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}
