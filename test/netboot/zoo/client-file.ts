import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { parse } from 'smol-toml'
import { Type, type Static } from 'typebox'
import { Value } from 'typebox/value'

// A key that nobody reads is an expectation that nobody checks: every table is strict.
const strict = { additionalProperties: false }

const TYPES = ['BOOTP', 'DISCOVER', 'OFFER', 'REQUEST', 'DECLINE', 'ACK', 'NAK', 'RELEASE', 'INFORM'] as const

/** Text (`text:` before it if need be), `0x` and hex digits, a dotted address, or a list of these. */
const Bytes = Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })])
const OptionCode = '^(?:[1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-4])$'
const At = Type.String({ pattern: '^[0-9.]+:[0-9]+$' })

const HEADER_FIELDS = {
  chaddr: Type.Optional(Type.String({ pattern: '^(?:[0-9a-f]{2}(?::[0-9a-f]{2})*)?$' })),
  htype: Type.Optional(Type.Integer()),
  hops: Type.Optional(Type.Integer()),
  secs: Type.Optional(Type.Integer()),
  broadcast: Type.Optional(Type.Boolean()),
  ciaddr: Type.Optional(Type.String()),
  giaddr: Type.Optional(Type.String()),
  sname: Type.Optional(Type.String()),
  file: Type.Optional(Type.String()),
  padded: Type.Optional(Type.Boolean()),
  /** `false` leaves out what the client's `[sends]` has. */
  options: Type.Optional(
    Type.Record(Type.String({ pattern: OptionCode }), Type.Union([Bytes, Type.Literal(false)]), strict),
  ),
}

const ROUTE = {
  from: Type.Optional(At),
  to: Type.Optional(At),
  segment: Type.Optional(Type.String()),
}

const DhcpSend = Type.Object(
  {
    type: Type.Optional(Type.Enum(TYPES)),
    xid: Type.Optional(Type.Integer()),
    op: Type.Optional(Type.Integer()),
    pcap: Type.Optional(Type.String()),
    packet: Type.Optional(Type.Integer({ minimum: 1 })),
    hex: Type.Optional(Type.String({ pattern: '^(?:[0-9a-f]{2})+$' })),
    ...HEADER_FIELDS,
    ...ROUTE,
  },
  strict,
)

const DhcpGets = Type.Object(
  {
    type: Type.Union([
      Type.Literal('OFFER'),
      Type.Literal('ACK'),
      Type.Literal('NAK'),
      Type.Literal('BOOTP'),
    ]),
    from: Type.Optional(At),
    to: Type.Optional(At),
    segment: Type.Optional(Type.String()),
    ciaddr: Type.Optional(Type.String()),
    yiaddr: Type.Optional(Type.String()),
    siaddr: Type.Optional(Type.String()),
    giaddr: Type.Optional(Type.String()),
    sname: Type.Optional(Type.String()),
    file: Type.Optional(Type.String()),
    flags: Type.Optional(Type.Integer()),
    /** The boot file, in `file` and option 67 alike; `false`: in neither. */
    boots: Type.Optional(Type.Union([Type.String(), Type.Literal(false)])),
    options: Type.Optional(Type.Record(Type.String({ pattern: OptionCode }), Bytes, strict)),
    without: Type.Optional(Type.Array(Type.Integer())),
    max_bytes: Type.Optional(Type.Integer()),
  },
  strict,
)

const TftpSend = Type.Object(
  {
    file: Type.Optional(Type.String()),
    mode: Type.Optional(Type.String()),
    /** In the order of the file. */
    options: Type.Optional(Type.Record(Type.String(), Type.String())),
    /** A name in fixtures/tftp, without `.hex`. */
    recorded: Type.Optional(Type.String()),
    hex: Type.Optional(Type.String({ pattern: '^(?:[0-9a-f]{2})+$' })),
    /** The request is repeated before it is answered. */
    twice: Type.Optional(Type.Boolean()),
    /** What the client does when it has the OACK or the first block. */
    then: Type.Optional(Type.Union([Type.Literal('fetch'), Type.Literal('abort')])),
    from: Type.Optional(At),
    to: Type.Optional(At),
    segment: Type.Optional(Type.String()),
  },
  strict,
)

const TftpGets = Type.Object(
  {
    /** The options granted, all of them; `false`: no OACK, but DATA at once. */
    oack: Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.Literal(false)])),
    /** Whose content comes: a file of the loader directory. */
    content: Type.Optional(Type.String()),
    text: Type.Optional(Type.String()),
    /** Bytes of data in a full block. */
    block: Type.Optional(Type.Integer()),
    error: Type.Optional(Type.Integer()),
  },
  strict,
)

const HttpSend = Type.Object(
  {
    url: Type.String(),
    method: Type.Optional(Type.String()),
    headers: Type.Optional(Type.Record(Type.String(), Type.String())),
  },
  strict,
)

const HttpGets = Type.Object(
  {
    status: Type.Integer(),
    headers: Type.Optional(Type.Record(Type.String(), Type.String())),
    content: Type.Optional(Type.String()),
    /** First and last byte of `content`, both included. */
    part: Type.Optional(Type.Array(Type.Integer(), { minItems: 2, maxItems: 2 })),
    text: Type.Optional(Type.String()),
    bytes: Type.Optional(Type.Integer()),
  },
  strict,
)

const STEP = {
  say: Type.Optional(Type.String()),
  /** Kinds of events that the step must cause, and kinds that it must not. */
  events: Type.Optional(Type.Array(Type.String())),
  no_events: Type.Optional(Type.Array(Type.String())),
}

const Silence = Type.String({ minLength: 1 })

const Step = Type.Union([
  Type.Object({ ...STEP, dhcp: DhcpSend, gets: DhcpGets }, strict),
  Type.Object({ ...STEP, dhcp: DhcpSend, silence: Silence }, strict),
  Type.Object({ ...STEP, tftp: TftpSend, gets: TftpGets }, strict),
  Type.Object({ ...STEP, tftp: TftpSend, silence: Silence }, strict),
  Type.Object({ ...STEP, http: HttpSend, gets: HttpGets }, strict),
  Type.Object({ ...STEP, wait_seconds: Type.Number() }, strict),
])

const Machine = Type.Object(
  {
    nics: Type.Array(
      Type.Object(
        {
          mac: Type.String(),
          ip: Type.Optional(Type.String()),
          /** The switch port where it is plugged in (82.1 and 82.2). */
          circuit: Type.Optional(Type.String()),
          remote: Type.Optional(Type.String()),
        },
        strict,
      ),
      { minItems: 1 },
    ),
    firmware: Type.Optional(Type.Union([Type.Literal('bios'), Type.Literal('uefi')])),
    /** Whether a server is on it, and where that boots from; default `server`. */
    boots_from: Type.Optional(
      Type.Union([Type.Literal('server'), Type.Literal('local'), Type.Literal('nothing')]),
    ),
    loader: Type.Optional(Type.String()),
  },
  strict,
)

const ClientFile = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    /** `recorded ...` or `modelled ...`: of what, which version, when. */
    source: Type.String({ pattern: '^(?:recorded|modelled) ' }),
    /** Rows of the table of complaints that this client is the answer to. */
    complaints: Type.Optional(Type.Array(Type.Integer({ minimum: 1 }))),
    machine: Type.Optional(Machine),
    /** Lines of the daemon's configuration beside the stand's own. */
    config: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    /** The interfaces that the daemon is handed sockets of, and its address there; else it opens its own on `first`. */
    segments: Type.Optional(Type.Record(Type.String(), Type.String())),
    /** What each DHCP message of this client has, unless a step says otherwise. */
    sends: Type.Optional(Type.Object({ ...HEADER_FIELDS, ...ROUTE }, strict)),
    step: Type.Array(Step, { minItems: 1 }),
  },
  strict,
)

/** One client of the zoo. */
export type ClientFile = Static<typeof ClientFile>
/** One thing that it does, and what must come back. */
export type Step = Static<typeof Step>
/** A DHCP message that it sends. */
export type DhcpSend = Static<typeof DhcpSend>
/** The reply that it must get. */
export type DhcpGets = Static<typeof DhcpGets>
/** A TFTP read request and how the client goes on. */
export type TftpSend = Static<typeof TftpSend>
/** What TFTP must answer. */
export type TftpGets = Static<typeof TftpGets>
/** An HTTP request. */
export type HttpSend = Static<typeof HttpSend>
/** What HTTP must answer. */
export type HttpGets = Static<typeof HttpGets>

/** Where the clients are, from the top of the project. */
const CLIENTS = 'fixtures/firmware'

/** The names of all client files, without `.toml`. */
export function clientNames(): string[] {
  return readdirSync(CLIENTS)
    .filter((file) => file.endsWith('.toml'))
    .map((file) => basename(file, '.toml'))
    .sort()
}

/** @throws Error naming the file and what is wrong with it */
export function readClient(name: string): ClientFile {
  return parseClient(readFileSync(`${CLIENTS}/${name}.toml`, 'utf8'), `${name}.toml`)
}

/** @throws Error naming `file` and what is wrong with it */
export function parseClient(text: string, file: string): ClientFile {
  const table: unknown = parse(text)
  if (Value.Check(ClientFile, table)) return table
  const steps = typeof table === 'object' && table !== null && 'step' in table ? table.step : []
  const wrongStep = (Array.isArray(steps) ? steps : []).findIndex((step) => !Value.Check(Step, step))
  const where = wrongStep < 0 ? '' : `step ${String(wrongStep + 1)}: `
  const [first] = Value.Errors(ClientFile, table)
  const problem = first === undefined ? 'malformed' : `${first.instancePath} ${first.message}`
  throw new Error(`${file}: ${where}${problem}`)
}
