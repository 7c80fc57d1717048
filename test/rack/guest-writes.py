"""Runs in a guest: `guest-writes.py NAME FOLDER` writes files into FOLDER without pause until /run/writes.NAME.stop exists.

A file is named in the manifest beside it (the format of sha256sum) after its own fsync, and the manifest is synced too.
What /run/writes.NAME.times gets, one line of CLOCK_MONOTONIC seconds for each file that is safe, is in memory: it tells
of the time in which the disk was away.
"""

import hashlib
import os
import sys
import time

NAME, FOLDER = sys.argv[1:]
SIZES = (512, 4096, 12288, 70000)


def write_synced(path, data):
    with open(path, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def main():
    os.makedirs(FOLDER, exist_ok=True)
    folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY)
    with open(f'{FOLDER}/manifest', 'w') as manifest, open(f'/run/writes.{NAME}.times', 'w') as times:
        count = 0
        while not os.path.exists(f'/run/writes.{NAME}.stop'):
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
