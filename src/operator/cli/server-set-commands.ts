import { InvalidArgumentError, type Command } from 'commander'
import { readFile } from 'node:fs/promises'
import type { ServerView } from '../api/schema.js'
import type { PasswordView } from '../api/server-schema.js'
import type { Cli } from './cli-context.js'
import { readInput, readJson, readKeys, readPassword } from './input-file.js'
import { printLine, printOne } from './output.js'
import { openSealedPassword } from './sealed-password.js'

/** What a server is told at its first boot, as files on the command line. */
export interface SeedOptions {
  readonly key?: readonly string[]
  readonly sshKey?: readonly string[]
  /** `false`: `--no-user-data` */
  readonly userData?: string | false
  readonly network?: string | false
  readonly adminPasswordFile?: string
}

/** The options of {@link SeedOptions}, for `create` and `set`. */
export function withSeedOptions(command: Command): Command {
  return command
    .option('--key <name...>', 'key pair')
    .option('--ssh-key <file...>', 'public key file')
    .option('--user-data <file>', 'cloud-config, script or whatever the guest takes; - reads standard input')
    .option('--network <file>', 'network document (JSON); - reads standard input')
    .option(
      '--admin-password-file <file>',
      'first line: the password of the administrator; - reads standard input',
    )
}

/** The body that the API takes; what was not named is undefined, what was taken away null. */
export async function seedBody(options: SeedOptions): Promise<Record<string, unknown>> {
  const { key, sshKey, userData, network, adminPasswordFile } = options
  if ([userData, network, adminPasswordFile].filter((file) => file === '-').length > 1)
    throw new InvalidArgumentError('standard input can be read once only.')
  return {
    keys: key,
    ssh_keys: sshKey && (await readKeys(sshKey)),
    user_data: userData === false ? null : userData && (await readInput(userData)).toString('base64'),
    network: network === false ? null : network && (await readJson('network', network)),
    admin_password: adminPasswordFile && (await readPassword(adminPasswordFile)),
  }
}

/** `ingot server set|redeploy|password` */
export function serverSetCommands(server: Command, cli: Cli): void {
  withSeedOptions(server.command('set <server>'))
    .description('change what a server is told; its seed disk follows at once, under a running system too')
    .option('--name <new>')
    .option('--no-network', "what follows from the machine's NICs")
    .option('--no-user-data', 'none any more')
    .action(async (id: string, options: SeedOptions & { name?: string }) => {
      const body = { name: options.name, ...(await seedBody(options)) }
      if (Object.values(body).every((value) => value === undefined))
        throw new InvalidArgumentError('something to set is needed: see --help.')
      printOne(await cli.api().call<ServerView>('PATCH', cli.path('servers', id), body), cli.format())
    })
  server
    .command('redeploy <server>')
    .description(
      'a new clone in place of its system disk: same machine, name, network, keys and data volumes',
    )
    .option('--image <image>', 'another image than its own')
    .option('--force', 'cut the power first')
    .action(async (id: string, body: { image?: string; force?: boolean }) => {
      const path = cli.path('servers', id, 'redeploy')
      printOne(await cli.api().call<ServerView>('POST', path, body), cli.format())
    })
  passwordCommand(server, cli)
}

function passwordCommand(server: Command, cli: Cli): void {
  server
    .command('password <server>')
    .description("the password that Windows made and sealed with the server's RSA key")
    .option('--private-key <file>', 'open it with this key, here and nowhere else')
    .option('--clear', 'forget it, so that the guest may post another')
    .action(async (id: string, { privateKey, clear }: { privateKey?: string; clear?: boolean }) => {
      const path = cli.path('servers', id, 'password')
      if (clear === true) {
        await cli.api().call('DELETE', path)
        return
      }
      const { password } = await cli.api().call<PasswordView>('GET', path)
      printLine(
        privateKey === undefined
          ? password
          : openSealedPassword(password, await readFile(privateKey, 'utf8')),
      )
    })
}
