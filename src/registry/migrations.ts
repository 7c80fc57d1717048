/**
 * The registry's numbered migrations, forward only: entry n takes a database from version n to n + 1
 * (`PRAGMA user_version`). Never edit one that was released; add another.
 * Times are milliseconds since the epoch (`_ms`), sizes bytes, ids UUIDs.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE images (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL CHECK (status IN ('queued', 'saving', 'active', 'killed')),
    os_type TEXT NOT NULL CHECK (os_type IN ('linux', 'windows', 'other')),
    os_version TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,      -- of the disk the image holds
    layer_id TEXT REFERENCES layers (id),
    sha256 TEXT,                      -- of the whole disk, hex
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE layers (
    id TEXT PRIMARY KEY,              -- also the directory under STATE/layers
    parent_id TEXT REFERENCES layers (id),
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    immutable INTEGER NOT NULL CHECK (immutable IN (0, 1)),
    created_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX layers_parent ON layers (parent_id);

  CREATE TABLE volumes (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    layer_id TEXT NOT NULL UNIQUE REFERENCES layers (id),
    naa TEXT NOT NULL UNIQUE,         -- 16 hex digits: the NAA identifier of VPD page 83h
    size_bytes INTEGER NOT NULL,
    image_id TEXT REFERENCES images (id),
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE machines (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    firmware TEXT NOT NULL CHECK (firmware IN ('bios', 'uefi')),
    bmc_url TEXT,                     -- redfish://host:port/redfish/v1/Systems/ID, no password in it
    bmc_credentials_file TEXT,        -- user:password, read when needed
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE nics (
    mac TEXT PRIMARY KEY,
    machine_id TEXT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,        -- 0 is the NIC the firmware boots from
    ip TEXT UNIQUE,                   -- the fixed address given by DHCP
    UNIQUE (machine_id, position)
  ) STRICT;

  CREATE TABLE servers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    machine_id TEXT NOT NULL UNIQUE REFERENCES machines (id),
    image_id TEXT NOT NULL REFERENCES images (id),
    volume_id TEXT NOT NULL UNIQUE REFERENCES volumes (id),
    status TEXT NOT NULL CHECK (status IN ('BUILD', 'ACTIVE', 'SHUTOFF', 'REBOOT', 'ERROR')),
    instance_id TEXT NOT NULL UNIQUE, -- new at every deploy: cloud-init's idea of "another machine"
    boot_intent TEXT NOT NULL CHECK (boot_intent IN ('server', 'local')),
    iqn TEXT NOT NULL UNIQUE,         -- the target
    initiator_iqn TEXT NOT NULL UNIQUE,
    chap_user TEXT NOT NULL,
    chap_secret TEXT NOT NULL,
    boot_token TEXT NOT NULL UNIQUE,  -- in every URL the machine is given
    addressing TEXT NOT NULL CHECK (addressing IN ('dhcp', 'static')),
    ssh_keys TEXT NOT NULL,           -- JSON array of authorized_keys lines
    user_data BLOB,
    clone_ms REAL NOT NULL,           -- how long making the clone took
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE leases (
    ip TEXT PRIMARY KEY,
    mac TEXT NOT NULL UNIQUE,
    client_id TEXT,                   -- hex of option 61
    expires_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE boots (
    id TEXT PRIMARY KEY,
    server_id TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    started_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX boots_server ON boots (server_id, started_ms);

  CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    stage TEXT,
    machine_id TEXT,
    server_id TEXT,
    boot_id TEXT,
    mac TEXT,
    ip TEXT,
    iqn TEXT
  ) STRICT;
  CREATE INDEX events_server ON events (server_id, seq);
  CREATE INDEX events_boot ON events (boot_id, seq);

  CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('RUNNING', 'SUCCESS', 'FAIL')),
    subject TEXT,                     -- id or name of what it makes
    progress REAL NOT NULL DEFAULT 0, -- 0..1
    message TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER
  ) STRICT;
  `,
  // The file that a machine's serial console is logged to (by a rig, conserver or ipmitool sol).
  'ALTER TABLE machines ADD COLUMN console_file TEXT',
  `
  CREATE TABLE attachments (
    volume_id TEXT PRIMARY KEY REFERENCES volumes (id),  -- a data volume has one user at most
    server_id TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    lun INTEGER NOT NULL CHECK (lun BETWEEN 2 AND 255),  -- 0 is the system disk, 1 the seed disk
    UNIQUE (server_id, lun)
  ) STRICT;

  CREATE TABLE snapshots (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    volume_id TEXT NOT NULL REFERENCES volumes (id),
    layer_id TEXT NOT NULL UNIQUE REFERENCES layers (id),  -- the layer that was the volume's top
    status TEXT NOT NULL CHECK (status IN ('creating', 'available', 'deleting')),
    size_bytes INTEGER NOT NULL,      -- of the volume when it was taken
    created_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX snapshots_volume ON snapshots (volume_id);

  CREATE TABLE doomed_layers (
    layer_id TEXT PRIMARY KEY         -- no layer any more; its files may still be there
  ) STRICT;
  `,
  `
  ALTER TABLE machines ADD COLUMN loader TEXT;       -- instead of the loader table's: a plain file name
  -- what the kernel kept beside the image's layer is started with; NULL when none is kept
  ALTER TABLE images ADD COLUMN kernel_arguments TEXT;
  ALTER TABLE nics ADD COLUMN switch_port TEXT;      -- DHCP option 82: hex of 82.1, a slash, hex of 82.2
  CREATE UNIQUE INDEX nics_switch_port ON nics (switch_port);
  -- the one boot that asks at the console what to boot: the next one, or the one in progress
  ALTER TABLE servers ADD COLUMN rescue TEXT CHECK (rescue IN ('wanted', 'shown'));
  `,
  `
  -- a storage NIC carries the root disk and is no part of the guest's network
  ALTER TABLE nics ADD COLUMN role TEXT NOT NULL DEFAULT 'tenant' CHECK (role IN ('tenant', 'storage'));

  -- how the root disk comes: over a NIC, or by a card that shows it as a local disk
  ALTER TABLE machines ADD COLUMN inic TEXT NOT NULL DEFAULT 'nic' CHECK (inic IN ('nic', 'card'));

  ALTER TABLE servers ADD COLUMN keys TEXT NOT NULL DEFAULT '[]';  -- JSON array of {name, publicKey}
  UPDATE servers SET keys = (
    SELECT json_group_array(json_object('name', 'key-' || key, 'publicKey', value)) FROM json_each(ssh_keys)
  );
  ALTER TABLE servers DROP COLUMN ssh_keys;
  ALTER TABLE servers ADD COLUMN network TEXT;              -- the operator's JSON; NULL: follows from NICs and subnets
  ALTER TABLE servers ADD COLUMN admin_password_hash TEXT;  -- crypt(3), $6$
  ALTER TABLE servers ADD COLUMN sealed_password TEXT;      -- base64, by the server's RSA key: what Windows posted

  -- 32 random bytes, the server's for life: what its seed must say again is derived from them
  ALTER TABLE servers ADD COLUMN seed_secret BLOB NOT NULL DEFAULT x'';
  UPDATE servers SET seed_secret = randomblob(32);

  CREATE TABLE keypairs (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,               -- the type that the public key begins with, as ssh-ed25519
    public_key TEXT NOT NULL,         -- a line of authorized_keys
    fingerprint TEXT NOT NULL,        -- SHA256:..., as ssh-keygen -l says it
    created_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  ALTER TABLE images ADD COLUMN properties TEXT NOT NULL DEFAULT '{}';  -- JSON object of strings
  ALTER TABLE images ADD COLUMN inspection TEXT;            -- JSON: what was found inside
  `,
]
