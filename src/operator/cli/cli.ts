#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { ApiClient, ApiError } from './api-client.js'
import type { Cli } from './cli-context.js'
import { doctorCommands } from './doctor-commands.js'
import { imageCommands } from './image-commands.js'
import { keypairCommands } from './keypair-commands.js'
import { leaseCommands } from './lease-commands.js'
import { machineCommands } from './machine-commands.js'
import type { OutputFormat } from './output.js'
import { rigCommands } from './rig-commands.js'
import { serverCommands } from './server-commands.js'
import { snapshotCommands } from './snapshot-commands.js'
import { volumeCommands } from './volume-commands.js'
import { WaitTimedOut } from './wait.js'

/** Exit codes: anything that failed, a wrong command line, and a wait that ran out. */
const FAILED = 1
const USAGE = 2
const TIMED_OUT = 3

interface GlobalOptions {
  readonly socket: string
  readonly output: OutputFormat
}

async function main(): Promise<number> {
  const program = new Command('ingot').description('golden images in, running servers out').exitOverride()
  program.addOption(
    new Option('--socket <path>', "the daemon's API socket")
      .env('INGOT_SOCKET')
      .default('/run/ingot/api.sock'),
  )
  program.addOption(new Option('-o, --output <format>').choices(['table', 'json', 'value']).default('table'))
  const cli: Cli = {
    api: () => new ApiClient(program.opts<GlobalOptions>().socket),
    format: () => program.opts<GlobalOptions>().output,
    path: (collection, id, action) =>
      ['/ingot/v1', collection, encodeURIComponent(id), ...(action === undefined ? [] : [action])].join('/'),
  }
  machineCommands(program, cli)
  imageCommands(program, cli)
  serverCommands(program, cli)
  keypairCommands(program, cli)
  volumeCommands(program, cli)
  snapshotCommands(program, cli)
  leaseCommands(program, cli)
  rigCommands(program, cli)
  doctorCommands(program, cli)
  try {
    await program.parseAsync()
    return 0
  } catch (err) {
    return exitCodeOf(err)
  }
}

function exitCodeOf(err: unknown): number {
  if (err instanceof InvalidArgumentError) {
    console.error(`error: ${err.message}`) // of a command's own; commander tells those of options itself
    return USAGE
  }
  if (err instanceof CommanderError) return err.exitCode === 0 ? 0 : USAGE
  console.error(`ingot: ${sentenceOf(err)}`)
  return err instanceof WaitTimedOut ? TIMED_OUT : FAILED
}

/** A file that cannot be read is the operator's matter too; anything else is ours, and tells where. */
function sentenceOf(err: unknown): string {
  if (!(err instanceof Error)) return String(err)
  const isExpected = err instanceof ApiError || err instanceof WaitTimedOut || 'syscall' in err
  return isExpected ? err.message : (err.stack ?? err.message)
}

process.exitCode = await main()
