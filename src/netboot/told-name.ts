/** The secret part of a boot URL or path: whoever has it is the machine for as long as its boot lasts. `start` is none. */
const TOKEN = /\/boot\/(?!start\/)[^/\s]+(?=\/)/g

/** A boot URL, or a name that somebody asked for, as events and logs may tell it: without the token of a boot. */
export function toldName(name: string): string {
  return name.replace(TOKEN, '/boot/TOKEN')
}
