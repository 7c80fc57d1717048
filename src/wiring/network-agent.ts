import { readFileSync } from 'node:fs'
import { systemCode } from '../errors.js'

// From dist/src/wiring and from src/wiring.
const FILES = ['../../../plugins/', '../../plugins/'].map(
  (folder) => new URL(`${folder}bms-network-config/files/usr/bin/bms-network-config`, import.meta.url),
)

/** The program that a stock image is given to apply its network, or undefined where the plug-ins are not installed. */
export function readNetworkAgent(): Uint8Array | undefined {
  for (const file of FILES) {
    try {
      return readFileSync(file)
    } catch (err) {
      if (systemCode(err) !== 'ENOENT') throw err
    }
  }
  return undefined
}
