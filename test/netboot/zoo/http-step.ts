import { request, type IncomingHttpHeaders } from 'node:http'
import type { HttpGets, HttpSend } from './client-file.js'
import { isLike, problems, wrongValue } from './matching.js'
import { contentOf, type Stand } from './stand.js'

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Makes one request on a connection of its own and says what is wrong with the answer. */
export async function playHttp(stand: Stand, send: HttpSend, gets: HttpGets): Promise<string[]> {
  const { status, headers, body } = await ask(stand, send)
  const content = gets.content === undefined ? undefined : contentOf(stand, gets.content)
  const [first, last] = gets.part ?? []
  const part = first === undefined || last === undefined ? content : content?.subarray(first, last + 1)
  const length = part === undefined ? undefined : String(part.length)
  const isRight = part === undefined || send.method === 'HEAD' || body.equals(part)
  return problems(
    wrongValue('the status', status, gets.status),
    ...Object.entries(gets.headers ?? {}).map(([name, value]) =>
      wrongValue(name, String(headers[name] ?? 'absent'), value),
    ),
    length === undefined
      ? undefined
      : wrongValue('content-length', String(headers['content-length']), length),
    isRight ? undefined : `${String(body.length)} bytes that are not those of ${String(gets.content)}`,
    gets.text === undefined || isLike(body.toString('utf8'), gets.text)
      ? undefined
      : `the text ${JSON.stringify(body.toString('utf8').slice(0, 200))}`,
    wrongValue('the body in bytes', body.length, gets.bytes),
  )
}

function ask(stand: Stand, { url, method = 'GET', headers = {} }: HttpSend): Promise<Answer> {
  const at = /^http:\/\/([^/:]+)(?::(\d+))?(\/.*)?$/.exec(url)
  if (at === null) throw new Error(`no URL: ${JSON.stringify(url)}`)
  const [, host = '', port = '80', path = '/'] = at
  const real = stand.network.tcpPort(host, Number(port))
  if (real === undefined) throw new Error(`nobody listens at ${host}:${port}`)
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: real, path, method, agent: false as const }
    const call = request({ ...options, headers: { host: `${host}:${port}`, ...headers } }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('error', reject).on('end', () => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(parts) })
      })
    })
    call.on('error', reject).end()
  })
}
