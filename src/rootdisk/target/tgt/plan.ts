import { TGT_ERROR, type TgtRequest } from './message.js'
import type { ShownLun, ShownTarget } from './shown.js'

/** One LUN as it should be. */
export interface LunWish {
  readonly lun: number
  readonly path: string
  /** At most 36 characters. */
  readonly serial: string
  readonly isReadOnly: boolean
}

/** One server's target as it should be. */
export interface TargetWish {
  readonly iqn: string
  readonly initiatorIqn: string
  readonly chap: { readonly user: string; readonly secret: string }
  readonly luns: readonly LunWish[]
}

/** A request of a plan; `accepts` is the error that is as good as success. */
export interface Step {
  readonly request: TgtRequest
  readonly accepts?: number
}

/** tgtd closes a target while nobody is on its list, so the list is the gate: opened last, closed first. */
export function createTarget(wish: TargetWish, tid: number): Step[] {
  return [
    { request: { mode: 'target', op: 'new', tid, values: { targetname: wish.iqn } } },
    ...wish.luns.flatMap((lun) => addLun(tid, lun)),
    ...setAccount(tid, wish),
    initiator('bind', tid, wish.initiatorIqn),
  ]
}

/**
 * What is missing or other than wished. A secret is not shown by tgtd: it is as it was set when its account was,
 * for the life of a target.
 */
export function updateTarget(wish: TargetWish, shown: ShownTarget): Step[] {
  const { tid } = shown
  const strangers = shown.acl.filter((name) => name !== wish.initiatorIqn)
  const isAccountRight = shown.accounts.length === 1 && shown.accounts[0] === wish.chap.user
  const isOpen = shown.acl.includes(wish.initiatorIqn)
  const isGateMoved = !isAccountRight && isOpen
  return [
    ...strangers.map((name) => initiator('unbind', tid, name)),
    ...(isGateMoved ? [initiator('unbind', tid, wish.initiatorIqn)] : []),
    ...updateLuns(wish, shown),
    ...(isAccountRight ? [] : [...dropAccounts(shown.accounts), ...setAccount(tid, wish)]),
    ...(isOpen && !isGateMoved ? [] : [initiator('bind', tid, wish.initiatorIqn)]),
  ]
}

/** Ends its sessions too. */
export function deleteTarget({ tid, accounts }: ShownTarget): Step[] {
  return [{ request: { mode: 'target', op: 'delete', tid, force: true } }, ...dropAccounts(accounts)]
}

/** The lowest target number that nobody has. */
export function freeTid(shown: readonly ShownTarget[]): number {
  const taken = new Set(shown.map(({ tid }) => tid))
  let tid = 1
  while (taken.has(tid)) tid++
  return tid
}

function updateLuns(wish: TargetWish, { tid, luns }: ShownTarget): Step[] {
  const isKept = (shown: ShownLun): boolean =>
    wish.luns.some(({ lun, path }) => lun === shown.lun && path === shown.path)
  const kept = new Map(luns.filter(isKept).map((shown) => [shown.lun, shown]))
  return [
    ...luns.filter((shown) => !isKept(shown)).map(({ lun }) => dropLun(tid, lun)),
    ...wish.luns.flatMap((lun) => {
      const shown = kept.get(lun.lun)
      if (shown === undefined) return addLun(tid, lun)
      const isRight = shown.serial === lun.serial && shown.isReadOnly === lun.isReadOnly
      return isRight ? [] : [describeLun(tid, lun)]
    }),
  ]
}

function addLun(tid: number, lun: LunWish): Step[] {
  const request: TgtRequest = {
    mode: 'logicalunit',
    op: 'new',
    tid,
    lun: lun.lun,
    values: { path: lun.path },
  }
  return [{ request }, describeLun(tid, lun)]
}

function describeLun(tid: number, { lun, serial, isReadOnly }: LunWish): Step {
  const values = {
    vendor_id: 'INGOT',
    product_id: isReadOnly ? 'seed' : 'volume',
    scsi_sn: serial,
    scsi_id: serial,
    // UNMAP, for which tgtd makes holes in the file.
    ...(isReadOnly ? { readonly: '1' } : { thin_provisioning: '1' }),
  }
  return { request: { mode: 'logicalunit', op: 'update', tid, lun, values } }
}

function dropLun(tid: number, lun: number): Step {
  return { request: { mode: 'logicalunit', op: 'delete', tid, lun } }
}

/** An account outlives its target in tgtd: one of that name may be there, with the secret of another time. */
function setAccount(tid: number, { chap: { user, secret } }: TargetWish): Step[] {
  return [
    ...dropAccounts([user]),
    { request: { mode: 'account', op: 'new', values: { user, password: secret } } },
    { request: { mode: 'account', op: 'bind', tid, values: { user } } },
  ]
}

function dropAccounts(users: readonly string[]): Step[] {
  return users.map((user) => ({
    request: { mode: 'account', op: 'delete', values: { user } },
    accepts: TGT_ERROR.noAccount,
  }))
}

function initiator(op: 'bind' | 'unbind', tid: number, name: string): Step {
  // RFC 7143 §4.2.7: a name begins with its type; everything else on tgtd's list is an address or ALL.
  const isName = /^(?:iqn|eui|naa)\./i.test(name)
  const values = { [isName ? 'initiator-name' : 'initiator-address']: name }
  return { request: { mode: 'target', op, tid, values } }
}
