"""Runs in a guest: writes files without pause until /run/writes.stop exists.

A file is named in the manifest (the format of sha256sum) after its own fsync, and the manifest is synced too. What
/run/writes.times gets, one line of CLOCK_MONOTONIC seconds for each file that is safe, is in memory: it tells of the
time in which the disk was away.
"""

import hashlib
import os
import time

FOLDER = '/var/lib/ingot-writes'
SIZES = (512, 4096, 12288, 70000)


def write_synced(path, data):
    with open(path, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def main():
    os.makedirs(FOLDER, exist_ok=True)
    folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY)
    with open('/root/writes.manifest', 'w') as manifest, open('/run/writes.times', 'w') as times:
        count = 0
        while not os.path.exists('/run/writes.stop'):
            data = os.urandom(SIZES[count % len(SIZES)])
            path = f'{FOLDER}/{count:06d}'
            write_synced(path, data)
            os.fsync(folder)
            manifest.write(f'{hashlib.sha256(data).hexdigest()}  {path}\n')
            manifest.flush()
            os.fsync(manifest.fileno())
            times.write(f'{time.monotonic():.3f}\n')
            times.flush()
            count += 1
            time.sleep(0.05)


main()
