import { writeFile } from 'node:fs/promises'
import { Option, type Command } from 'commander'
import { API_PREFIX } from '../api/schema.js'
import type { KeypairView, NewKeypairView } from '../api/server-schema.js'
import type { Cli } from './cli-context.js'
import { readInput } from './input-file.js'
import { printLine, printList, printOne, type Columns } from './output.js'

const COLUMNS: Columns<KeypairView> = [
  ['Name', 'name'],
  ['Kind', 'kind'],
  ['Fingerprint', 'fingerprint'],
]

/** `ingot keypair ...` */
export function keypairCommands(program: Command, cli: Cli): void {
  const keypair = program.command('keypair').description('SSH keys that servers are given')
  createCommand(keypair, cli)
  keypair
    .command('import <name> <file>')
    .description('keep a public key; - reads standard input')
    .action(async (name: string, file: string) => {
      const public_key = (await readInput(file)).toString('utf8').trimEnd()
      await cli.api().call('POST', `${API_PREFIX}/keypairs`, { name, public_key })
      printOne(await cli.api().call<KeypairView>('GET', cli.path('keypairs', name)), cli.format())
    })
  keypair.command('list').action(async () => {
    const { keypairs } = await cli.api().call<{ keypairs: KeypairView[] }>('GET', `${API_PREFIX}/keypairs`)
    printList(keypairs, COLUMNS, cli.format())
  })
  keypair.command('show <keypair>').action(async (name: string) => {
    printOne(await cli.api().call<KeypairView>('GET', cli.path('keypairs', name)), cli.format())
  })
  keypair.command('delete <keypair...>').action(async (names: string[]) => {
    for (const name of names) await cli.api().call('DELETE', cli.path('keypairs', name))
  })
}

function createCommand(keypair: Command, cli: Cli): void {
  keypair
    .command('create <name>')
    .description('make a key pair; the private key is told once and kept nowhere')
    .addOption(new Option('--type <type>').choices(['ed25519', 'rsa']).default('ed25519'))
    .option('--out <file>', 'write the private key there instead, for the owner only')
    .action(async (name: string, { type, out }: { type: string; out?: string }) => {
      // made before the key is: what cannot be written must not be made
      if (out !== undefined) await writeFile(out, '', { mode: 0o600, flag: 'wx' })
      const made = await cli.api().call<NewKeypairView>('POST', `${API_PREFIX}/keypairs`, { name, type })
      const { private_key: privateKey, ...view } = made
      if (out !== undefined) {
        await writeFile(out, privateKey ?? '')
        printOne(view, cli.format())
      } else if (cli.format() === 'json') printOne(made, 'json')
      else printLine(privateKey?.trimEnd() ?? '')
    })
}
