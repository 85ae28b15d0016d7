"""The benchmark's jobs as a Python filter on pymilter, written as its documentation teaches.

python3 pymilter.py inet:PORT@127.0.0.1|unix:PATH noop|headers|body FNV1A.SO     (Debian: python3-milter)
"""

import ctypes
import resource
import sys

import Milter

usage = "usage: pymilter.py inet:PORT@ADDRESS|unix:PATH noop|headers|body FNV1A.SO"

if sys.argv[1:] == ["--version"]:
    print(Milter.__version__)
    sys.exit(0)
if len(sys.argv) != 4:
    sys.exit(usage)

socket, job, library = sys.argv[1:]
fnv1a = ctypes.CDLL(library).fnv1a
fnv1a.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
fnv1a.restype = ctypes.c_uint32


class Noop(Milter.Base):
    """Every event comes and is answered, nothing is done."""

    def connect(self, hostname, family, hostaddr):
        return Milter.CONTINUE

    def hello(self, hostname):
        return Milter.CONTINUE

    def envfrom(self, sender, *params):
        return Milter.CONTINUE

    def envrcpt(self, recipient, *params):
        return Milter.CONTINUE

    def data(self):
        return Milter.CONTINUE

    def unknown(self, command):
        return Milter.CONTINUE

    def header(self, name, value):
        return Milter.CONTINUE

    def eoh(self):
        return Milter.CONTINUE

    def body(self, chunk):
        return Milter.CONTINUE

    def eom(self):
        return Milter.CONTINUE


class Headers(Milter.Base):
    """Looks at each field, adds one at the end."""

    def __init__(self):
        self.begin()

    def begin(self):
        self.fields = 0
        self.octets = 0

    def header(self, name, value):
        self.fields += 1
        self.octets += len(name) + len(value) - value.count("\n")  # the value unfolded
        return Milter.CONTINUE

    def eom(self):
        self.addheader("X-Bench", f"fields={self.fields} octets={self.octets}")
        self.begin()
        return Milter.CONTINUE

    def abort(self):
        self.begin()
        return Milter.CONTINUE


class Body(Milter.Base):
    """Hashes every octet, adds one field at the end. The loop over the octets is C: Python's own would be all there is
    to measure, and whoever hashes in Python calls C."""

    def __init__(self):
        self.begin()

    def begin(self):
        self.octets = 0
        self.hash = 2166136261

    def body(self, chunk):
        self.octets += len(chunk)
        self.hash = fnv1a(self.hash, chunk, len(chunk))
        return Milter.CONTINUE

    def eom(self):
        self.addheader("X-Bench", f"octets={self.octets} fnv1a={self.hash:08x}")
        self.begin()
        return Milter.CONTINUE

    def abort(self):
        self.begin()
        return Milter.CONTINUE


jobs = {"noop": Noop, "headers": Headers, "body": Body}
if job not in jobs:
    sys.exit(f'pymilter: job "{job}" is unknown, expected {", ".join(jobs)}\n{usage}')

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
Milter.factory = jobs[job]
Milter.set_flags(0 if job == "noop" else Milter.ADDHDRS)
# libmilter's own backlog of 20 would make 200 connections at once a test of retries
Milter.setbacklog(1024)
Milter.runmilter("bench", socket)
