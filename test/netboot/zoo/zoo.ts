import { stdout, exit } from 'node:process'
import { clientNames, readClient } from './client-file.js'
import { playClient } from './play.js'

// `npm run zoo`: every client of fixtures/firmware, one line each; the last line is `N passed, N failed`.
let failed = 0
const names = clientNames()
for (const name of names) {
  const { wrong, title } = await played(name)
  stdout.write(`${wrong.length === 0 ? 'ok    ' : 'FAILED'} ${name}: ${title}\n`)
  for (const problem of wrong) stdout.write(`         ${problem}\n`)
  if (wrong.length > 0) failed++
}
stdout.write(`${String(names.length - failed)} passed, ${String(failed)} failed\n`)
exit(failed === 0 ? 0 : 1)

async function played(name: string): Promise<{ wrong: string[]; title: string }> {
  try {
    const client = readClient(name)
    return { wrong: await playClient(client), title: client.name }
  } catch (err) {
    return { wrong: [err instanceof Error ? err.message : String(err)], title: 'cannot be played' }
  }
}
