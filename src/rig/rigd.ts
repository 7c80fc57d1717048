#!/usr/bin/env node
import { readFile, rm, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { runServices, type Service } from '../service.js'
import { QemuMachine } from './machine.js'
import { rigPaths, type RigPlan } from './plan.js'
import { RedfishListener } from './redfish-listener.js'

/** Powers every machine off when the rig ends. */
function powerSupply(machines: readonly QemuMachine[]): Service {
  return {
    name: 'rig-power',
    start: () => Promise.resolve(),
    async stop() {
      await Promise.all(machines.map((machine) => machine.reset('ForceOff')))
    },
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { dir: { type: 'string' } } })
  if (values.dir === undefined) throw new Error('usage: rigd --dir DIR')
  const paths = rigPaths(values.dir)
  const log = pino()
  const ended = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.abort())
  const plan = JSON.parse(await readFile(paths.plan, 'utf8')) as RigPlan // written by rigUp
  const credentials = (await readFile(paths.credentials, 'utf8')).trim()
  await writeFile(paths.pid, `${process.pid}\n`, { mode: 0o600 })
  const machines = plan.machines.map((machine) => new QemuMachine(machine, paths.dir, log))
  const tcp = { host: plan.address, port: plan.redfishPort }
  await rm(paths.socket, { force: true })
  await runServices(
    [
      powerSupply(machines),
      new RedfishListener({ machines, credentials, listen: tcp, log }),
      new RedfishListener({ machines, credentials, listen: { path: paths.socket }, log }),
    ],
    ended.signal,
    log,
  )
  await rm(paths.pid, { force: true })
}

await main()
