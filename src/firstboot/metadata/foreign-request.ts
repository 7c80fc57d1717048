/** Headers by name in lower case, each with every value that came (`headersDistinct` of Node). */
export type HeaderValues = Readonly<Partial<Record<string, readonly string[]>>>

/** What proxies add: a request with one of them was made for somebody else. */
const PROXY_HEADERS = ['x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'forwarded', 'via']

/**
 * Why a request is not a server's own, if so. A proxy on a server can be talked into asking for its metadata (SSRF), and
 * says so in a header; a web page can make a browser ask (DNS rebinding), which then says the page's host.
 * @param hosts the addresses that we are asked at
 */
export function foreignRequest(headers: HeaderValues, hosts: ReadonlySet<string>): string | undefined {
  const proxy = PROXY_HEADERS.find((name) => headers[name] !== undefined)
  if (proxy !== undefined) return `the request was forwarded (header ${proxy})`
  const [host = '', ...more] = headers['host'] ?? []
  const isOurs = more.length === 0 && hosts.has(host.replace(/:\d{1,5}$/, ''))
  return isOurs ? undefined : 'the Host header names another host'
}
