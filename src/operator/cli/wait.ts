import { setTimeout as sleep } from 'node:timers/promises'
import { API_PREFIX, type JobView, type TimelineView } from '../api/schema.js'
import { ApiError, type ApiClient } from './api-client.js'
import { printLine, seconds } from './output.js'

const POLL_MS = 500

/** Ended by a time limit; the exit code is its own. */
export class WaitTimedOut extends Error {
  override readonly name = 'WaitTimedOut'
}

/** Follows a job to its end, with a progress line on a terminal. @throws ApiError with the job's failure */
export async function waitForJob(api: ApiClient, job: JobView): Promise<void> {
  for (;;) {
    const now = await api.call<JobView>('GET', `${API_PREFIX}/jobs/${job.id}`)
    showProgress(now)
    if (now.status === 'SUCCESS') return
    if (now.status === 'FAIL')
      throw new ApiError(`${now.kind} of ${now.subject ?? '?'} failed: ${now.message}`)
    await sleep(POLL_MS)
  }
}

/** Prints each stage of a server's boot as it is reached, until `ready`. @throws WaitTimedOut naming the last stage */
export async function waitForReady(api: ApiClient, server: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  const shown = new Set<string>()
  for (;;) {
    const timeline = await api.call<TimelineView>('GET', `${API_PREFIX}/servers/${server}/timeline`)
    showNewSteps(server, timeline, shown)
    if (shown.has('ready')) return
    if (performance.now() > deadline) {
      const last = [...shown].at(-1) ?? 'nothing'
      throw new WaitTimedOut(
        `${server}: not ready after ${seconds(timeoutMs)}; the last stage reached is: ${last}`,
      )
    }
    await sleep(POLL_MS)
  }
}

function showNewSteps(server: string, timeline: TimelineView, shown: Set<string>): void {
  for (const step of timeline.steps) {
    if (step.at === null || shown.has(step.stage)) continue
    shown.add(step.stage)
    printLine(
      `${server}  ${step.stage.padEnd(13)} ${step.took_ms === null ? '' : `+${seconds(step.took_ms)}`}`.trimEnd(),
    )
  }
}

function showProgress(job: JobView): void {
  if (!process.stderr.isTTY) return
  const end = job.status === 'RUNNING' ? '' : '\n'
  process.stderr.write(
    `\r${job.kind} ${(job.progress * 100).toFixed(0).padStart(3)}% ${job.message.padEnd(40)}${end}`,
  )
}
