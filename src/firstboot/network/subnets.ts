import { formatIp, maskText, parseIpPrefix } from '../../wire/ip-prefix.js'
import type { Ipv4Addressing, Ipv6Addressing, NetworkLink, Route } from './network.js'

/** What a link is told of one IP family. */
export interface Subnet {
  readonly family: 4 | 6
  readonly addressing: Exclude<Ipv4Addressing | Ipv6Addressing, { kind: 'none' }>
  /** The default route through the gateway, if it has one. */
  readonly defaultRoute: readonly Route[]
  /** The routes of this family beside it. */
  readonly routes: readonly Route[]
}

/** A route with network and mask apart, as Nova wrote it first and `network-config` version 1 after it. */
export interface MaskedRoute {
  readonly [key: string]: string | number | undefined
  readonly network: string
  readonly netmask: string
  readonly gateway: string
  readonly metric?: number
}

/** The families that a link is told anything of, IPv4 first. */
export function subnetsOf(link: NetworkLink): readonly Subnet[] {
  return ([4, 6] as const).flatMap((family) => {
    const addressing = family === 4 ? link.ipv4 : link.ipv6
    if (addressing.kind === 'none') return []
    const via = addressing.kind === 'static' ? addressing.gateway : undefined
    const destination = family === 4 ? '0.0.0.0/0' : '::/0'
    const defaultRoute = via === undefined ? [] : [{ destination, via }]
    const routes = link.routes.filter((route) => parseIpPrefix(route.destination)?.family === family)
    return [{ family, addressing, defaultRoute, routes }]
  })
}

/** Routes as readers of OpenStack's document and of `network-config` version 1 want them. */
export function maskedRoutes(routes: readonly Route[]): readonly MaskedRoute[] {
  return routes.flatMap(({ destination, via, metric }) => {
    const prefix = parseIpPrefix(destination)
    if (prefix === undefined) return []
    const { family, first, length } = prefix
    const network = formatIp({ family, value: first })
    const netmask = maskText(family, length)
    return [{ network, netmask, gateway: via, ...(metric !== undefined && { metric }) }]
  })
}

/** `list`, or undefined when it is empty: what no document writes. */
export function unlessEmpty<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list
}
