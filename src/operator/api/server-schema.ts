import { Type, type Static } from 'typebox'
import { Name, strict } from './schema.js'

const SshKeys = Type.Optional(Type.Array(Type.String({ maxLength: 16384 }), { maxItems: 32 }))
const KeyNames = Type.Optional(Type.Array(Name, { maxItems: 32 }))
const UserData = Type.String({ maxLength: 65536 })
const Password = Type.String({ maxLength: 128 })

/** POST /servers */
export const NewServerBody = Type.Object(
  {
    name: Name,
    image: Name,
    machine: Type.Optional(Name),
    ssh_keys: SshKeys,
    /** Names of key pairs. */
    keys: KeyNames,
    /** base64 */
    user_data: Type.Optional(UserData),
    /** A network document. */
    network: Type.Optional(Type.Unknown()),
    admin_password: Type.Optional(Password),
    addressing: Type.Optional(Type.Union([Type.Literal('dhcp'), Type.Literal('static')])),
  },
  strict,
)
export type NewServerBody = Static<typeof NewServerBody>

/** POST /servers/:id/{stop,reboot} */
export const PowerBody = Type.Object({ force: Type.Optional(Type.Boolean()) }, strict)
export type PowerBody = Static<typeof PowerBody>

/** POST /servers/:id/rescue: the next boot shows a menu, unless `cancel` */
export const RescueBody = Type.Object({ cancel: Type.Optional(Type.Boolean()) }, strict)
export type RescueBody = Static<typeof RescueBody>

/**
 * PATCH /servers/:id: what is named changes, null takes away; `keys` and `ssh_keys` together are all its keys from
 * now on
 */
export const ServerChangeBody = Type.Object(
  {
    name: Type.Optional(Name),
    keys: KeyNames,
    ssh_keys: SshKeys,
    // null first: the validator makes a string of it otherwise
    user_data: Type.Optional(Type.Union([Type.Null(), UserData])),
    network: Type.Optional(Type.Unknown()),
    admin_password: Type.Optional(Type.Union([Type.Null(), Password])),
  },
  strict,
)
export type ServerChangeBody = Static<typeof ServerChangeBody>

/** POST /servers/:id/redeploy: from another image when one is named; `force` cuts the power first */
export const RedeployBody = Type.Object(
  { image: Type.Optional(Name), force: Type.Optional(Type.Boolean()) },
  strict,
)
export type RedeployBody = Static<typeof RedeployBody>

/** POST /keypairs: keeps `public_key`, or makes a pair of `type` */
export const NewKeypairBody = Type.Object(
  {
    name: Name,
    type: Type.Optional(Type.Union([Type.Literal('ed25519'), Type.Literal('rsa')])),
    public_key: Type.Optional(Type.String({ minLength: 1, maxLength: 32768 })),
  },
  strict,
)
export type NewKeypairBody = Static<typeof NewKeypairBody>

/** A key pair as answered. */
export interface KeypairView {
  readonly name: string
  /** The type that the public key begins with. */
  readonly kind: string
  /** As ssh-keygen says it. */
  readonly fingerprint: string
  readonly public_key: string
  readonly created_at: string
}

/** POST /keypairs: the only answer that ever holds the private key; null when the key was made elsewhere. */
export interface NewKeypairView extends KeypairView {
  readonly private_key: string | null
}

/** GET /servers/:id/password */
export interface PasswordView {
  /** base64, sealed with the server's RSA key (PKCS #1 v1.5). */
  readonly password: string
}
