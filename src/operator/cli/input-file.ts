import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { ApiError } from './api-client.js'

/** The bytes of a file, or of standard input for `-`. */
export async function readInput(file: string): Promise<Buffer> {
  return file === '-' ? await buffer(process.stdin) : await readFile(file)
}

/** The JSON in a file. @throws ApiError that begins with `field` */
export async function readJson(field: string, file: string): Promise<unknown> {
  const text = (await readInput(file)).toString('utf8')
  try {
    return JSON.parse(text)
  } catch (err) {
    throw new ApiError(`${field}: ${file} is not JSON (${err instanceof Error ? err.message : String(err)})`)
  }
}

/** The keys in files of public keys, one a line. */
export async function readKeys(files: readonly string[]): Promise<string[]> {
  const texts = await Promise.all(files.map(async (file) => (await readInput(file)).toString('utf8')))
  return texts.flatMap((text) => text.split(/\r?\n/).filter((line) => line.trim() !== ''))
}

/** The first line of a file: a password, with all its blanks. */
export async function readPassword(file: string): Promise<string> {
  const [line = ''] = (await readInput(file)).toString('utf8').split(/\r?\n/, 1)
  return line
}
