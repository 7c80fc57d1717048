import { connect, createServer } from 'node:net'

// Run inside a stand's namespace as `second-portal.js ADDRESS PORT TARGET_PORT`: another way to the target, which can be
// cut (by ending this process) without touching the first. Prints a line when it listens.
const [address = '', port, targetPort] = process.argv.slice(2)

createServer((initiator) => {
  const target = connect(Number(targetPort), address)
  initiator.pipe(target).pipe(initiator)
  for (const socket of [initiator, target]) {
    socket.setNoDelay()
    socket.on('error', () => undefined)
    socket.on('close', () => {
      initiator.destroy()
      target.destroy()
    })
  }
}).listen(Number(port), address, () => process.stdout.write('ready\n'))
