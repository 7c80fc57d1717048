/** In the state directory: each worker of `ingot-targetd` holds it, shared with the others. */
export const WORKERS_LOCK = 'targetd-workers.lock'
