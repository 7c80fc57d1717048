import { CommandFailed, runCommand, type CommandResult } from '../../command.js'
import { DaemonError } from '../../errors.js'
import type { ImageFormat } from './format.js'
import { refused } from './refusal.js'

/** What one run of qemu-img on a file from outside may use. */
export interface QemuImgLimits {
  /** Wall clock of each run. */
  readonly timeoutMs: number
  /** Address space of each run; below about 512 MiB qemu-img itself does not start. */
  readonly memoryLimitBytes: number
}

/** A file for qemu-img to look at, always with its format: a guess could be steered by the file's content. */
export interface QemuImgSource {
  readonly path: string
  readonly format: ImageFormat
  readonly limits: QemuImgLimits
  readonly signal?: AbortSignal | undefined
}

/** The parts of `qemu-img info` that decide whether a file is imported. */
export interface QemuImgFacts {
  readonly virtualSizeBytes: number
  /** Why the file is refused, in words; undefined when there is no reason. */
  readonly objection: string | undefined
}

/** A range of the disk that may hold bytes other than zero. */
export interface DataRange {
  readonly offset: number
  readonly length: number
}

/** Asks `qemu-img info`. @throws DaemonError IMAGE_REFUSED, TIMED_OUT */
export async function inspect(source: QemuImgSource): Promise<QemuImgFacts> {
  const { stdout } = await qemuImg(source, ['info', '--output=json', '-f', source.format, source.path])
  const facts = parsed(stdout)
  const size = field(facts, 'virtual-size')
  if (typeof size !== 'number') throw refused('qemu-img tells no virtual size')
  return { virtualSizeBytes: size, objection: objectionTo(facts) }
}

/** Has qemu-img check the metadata; leaked clusters are harmless. @throws DaemonError IMAGE_REFUSED, TIMED_OUT */
export async function check(source: QemuImgSource): Promise<void> {
  const args = ['check', '--output=json', '-f', source.format, source.path]
  const { stdout } = await attempt(source, args).catch((err: unknown) => {
    // Status 3 is "leaks only"; what it found is on standard output for every status.
    if (err instanceof CommandFailed && parsed(err.result.stdout) !== undefined) return err.result
    throw toldApart(err, source)
  })
  const report = parsed(stdout)
  const bad = ['corruptions', 'check-errors'].some((name) => (field(report, name) ?? 0) !== 0)
  if (report === undefined || bad) throw refused('its metadata is corrupt')
}

/**
 * Writes the disk to `toPath` as a sparse raw file.
 * @param onFraction called with 0..1
 * @throws DaemonError IMAGE_REFUSED, TIMED_OUT, DISK_FULL
 */
export async function convertToRaw(
  source: QemuImgSource,
  toPath: string,
  onFraction: (fraction: number) => void,
): Promise<void> {
  const args = ['convert', '-p', '-f', source.format, '-O', 'raw', '-S', '4k', source.path, toPath]
  await qemuImg(source, args, (text) => {
    const percent = [...text.matchAll(/\((\d+\.\d+)\/100%\)/g)].at(-1)?.[1]
    if (percent !== undefined) onFraction(Number(percent) / 100)
  })
}

/** Ranges that are no holes; undefined when the file has too many of them to be worth a list. */
export async function dataRanges(source: QemuImgSource): Promise<DataRange[] | undefined> {
  const { stdout } = await qemuImg(source, ['map', '--output=json', '-f', source.format, source.path])
  const extents = parsed(stdout) // the command's output is kept up to 1 MiB, so a longer list does not parse
  if (!Array.isArray(extents)) return undefined
  return extents.flatMap((extent: unknown) => {
    const [offset, length] = [field(extent, 'start'), field(extent, 'length')]
    const isRange = typeof offset === 'number' && typeof length === 'number'
    return isRange && field(extent, 'zero') !== true ? [{ offset, length }] : []
  })
}

async function qemuImg(
  source: QemuImgSource,
  args: readonly string[],
  onStdout?: (text: string) => void,
): Promise<CommandResult> {
  try {
    return await attempt(source, args, onStdout)
  } catch (err) {
    throw toldApart(err, source)
  }
}

function attempt(
  { limits, signal }: QemuImgSource,
  args: readonly string[],
  onStdout?: (text: string) => void,
): Promise<CommandResult> {
  return runCommand('qemu-img', args, {
    timeoutMs: limits.timeoutMs,
    memoryLimitBytes: limits.memoryLimitBytes,
    ...(signal === undefined ? {} : { signal }),
    ...(onStdout === undefined ? {} : { onStdout }),
  })
}

function objectionTo(facts: unknown): string | undefined {
  const specific = field(field(facts, 'format-specific'), 'data')
  if (field(facts, 'backing-filename') !== undefined) return 'it needs a backing file'
  if (field(specific, 'data-file') !== undefined) return 'it keeps its data in another file'
  if (field(facts, 'encrypted') === true || field(specific, 'encrypt') !== undefined) return 'it is encrypted'
  if (field(specific, 'corrupt') === true) return 'it is marked corrupt'
  return undefined
}

/** Whose fault a failed run is: the caller's abort, the clock, the disk, this host, or else the file. */
function toldApart(err: unknown, { path, signal }: QemuImgSource): unknown {
  if (signal?.aborted === true) return signal.reason
  if (!(err instanceof CommandFailed)) return err
  const { stderr } = err.result
  if (stderr.includes('No space left on device')) {
    return new DaemonError('DISK_FULL', 'the state directory has no room for the image', { cause: err })
  }
  if (/could not run|failed to execute/.test(err.message)) return err
  if (err.message.includes('was ended by SIGKILL')) {
    return new DaemonError('TIMED_OUT', 'qemu-img did not finish with the image in its time', { cause: err })
  }
  const lastLine = stderr.trim().split('\n').at(-1) ?? ''
  const reason = lastLine.replaceAll(path, 'the file').replace(/^qemu-img: /, '')
  return refused(`qemu-img cannot read it (${reason})`, { cause: err })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return (value as Record<string, unknown>)[name]
}
