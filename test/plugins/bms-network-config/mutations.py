"""Feeds broken images and documents to the program's readers: a value or Refused, nothing else, and soon.

usage: mutations.py PROGRAM IMAGE.. < documents (one JSON text a line); says how many it tried and how many were read
"""

import importlib.machinery
import importlib.util
import json
import random
import sys
import tempfile
import time

sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader('agent', sys.argv[1])
agent = importlib.util.module_from_spec(importlib.util.spec_from_loader('agent', loader))
loader.exec_module(agent)
dice = random.Random(20261123)
tried, read, slowest = 0, 0, 0.0


def attempt(work):
    """One try; anything but a value or Refused ends this program with a traceback."""
    global tried, read, slowest
    start = time.process_time()
    try:
        work()
        read += 1
    except agent.Refused:
        pass
    tried += 1
    slowest = max(slowest, time.process_time() - start)


def image_cases(image):
    """Truncated, and with bytes changed where the structures are."""
    for _ in range(60):
        yield image[:dice.randrange(len(image))]
    used = [at for at in range(0, len(image), 512) if any(image[at:at + 512])]
    for _ in range(600):
        broken = bytearray(image)
        for _ in range(dice.choice((1, 1, 2, 8, 64))):
            at = dice.choice(used) + dice.randrange(512)
            if at < len(broken):
                broken[at] = dice.choice((0, 1, 0x7f, 0x80, 0xff, dice.randrange(256)))
        yield bytes(broken)


def document_cases(document):
    """A document with one value, anywhere in it, replaced by something unfit."""
    unfit = (None, True, -1, 2**70, 1.5, '', 'x', '\n', '::', '1.2.3.4/99', [], {}, [[]], [{}], {'id': {}}, 'a' * 5000)

    def places(node):
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            yield node, key
            yield from places(value)

    for index in range(sum(1 for _ in places(document))):
        for value in unfit:
            copy = json.loads(json.dumps(document))
            node, key = list(places(copy))[index]
            node[key] = value
            yield copy


for name in sys.argv[2:]:
    with open(name, 'rb') as file:
        content = file.read()
    with tempfile.NamedTemporaryFile() as out:
        for case in image_cases(content):
            out.seek(0)
            out.truncate()
            out.write(case)
            out.flush()
            attempt(lambda: agent.parse_document(agent.read_seed(out.name)))
images = tried
for line in sys.stdin:
    for case in document_cases(json.loads(line)):
        attempt(lambda: agent.parse_document(case))
print('%d images and %d documents, some read: %s, slowest below 1 s: %s' %
      (images, tried - images, read > 0, slowest < 1))
