import { DaemonError } from '../errors.js'

// RFC 1123 §2.1 labels: a server's name becomes its host name, and all names go into IQNs, paths and URLs.
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
// Images are never host names: bms-service.md 2.1 allows more.
const IMAGE_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._ -]{0,126}[A-Za-z0-9._-])?$/

/** `name` when it may name a machine or a server. @throws DaemonError INVALID_INPUT naming `field` */
export function checkName(field: string, name: string): string {
  if (NAME.test(name)) return name
  throw new DaemonError(
    'INVALID_INPUT',
    `${field}: expected 1-63 lower-case letters, digits and hyphens, not at either end, got ${JSON.stringify(name)}`,
  )
}

/** `name` when it may name an image. @throws DaemonError INVALID_INPUT */
export function checkImageName(name: string): string {
  if (IMAGE_NAME.test(name)) return name
  throw new DaemonError(
    'INVALID_INPUT',
    `name: expected 1-128 of letters, digits, "-", ".", "_" and inner spaces, got ${JSON.stringify(name)}`,
  )
}
