"""What is sent to a bare python3, and the talk until both sides know each other. Controller only.

The command line holds a few words of Python that read a given number of bytes, check their SHA-256 and run them: the
agent, with the sources of the shared half of remoting.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import threading
import zlib
from collections.abc import Callable
from functools import cache

from zuul_launcher.remoting.channel import Channel
from zuul_launcher.remoting.errors import HandshakeFailed
from zuul_launcher.remoting.handshake import Peer, PreambleReader, agree, myself, preamble
from zuul_launcher.remoting.modules import ROOTS, Shipping, find, imports
from zuul_launcher.remoting.settings import ChannelSettings
from zuul_launcher.remoting.sides import ControllerSide
from zuul_launcher.remoting.transport import Transport

PACKAGE = "zuul_launcher.remoting"
STUB = """\
import os,zlib,hashlib as h
n={length};b=b""
while len(b)<n:
 c=os.read(0,n-len(b))
 if not c:os._exit(71)
 b+=c
if h.sha256(b).hexdigest()!="{digest}":os._exit(72)
exec(compile(zlib.decompress(b),"<zuul agent>","exec"))"""
OLDEST = (3, 8)
_LAST_WORDS = 2.0


def payload(name: str, settings: ChannelSettings) -> tuple[str, bytes]:
    """The stub for the command line and what it reads."""
    options = {
        "name": f"controller, for {name}",
        "roots": list(ROOTS),
        "standard": sorted(sys.stdlib_module_names),
        "settings": dataclasses.asdict(settings),
    }
    agent = find(f"{PACKAGE}.agent").source
    data = zlib.compress(f"{agent}\nstart({_bundle()}, {options!r})\n".encode())
    return STUB.format(length=len(data), digest=hashlib.sha256(data).hexdigest()), data


@cache
def _bundle() -> str:
    """The literal of all modules that the node's half needs: name → [is package, source, reason]."""
    bundle: dict[str, list[object]] = {"zuul_launcher": [True, "", ""]}
    wanted = [PACKAGE, f"{PACKAGE}.node"]
    while wanted:
        name = wanted.pop()
        if name in bundle or not name.startswith(PACKAGE):
            continue
        found = find(name)
        if found.status == "source":
            bundle[name] = [found.is_package, found.source, ""]
            wanted.extend(imports(name, found))
    return repr(bundle)


def shared_modules() -> list[str]:
    """Names of the modules that are sent to each node."""
    return sorted(eval(_bundle()))  # noqa: S307 - a literal of our own


def open_channel(transport: Transport, name: str, settings: ChannelSettings, begin: bytes = b"") -> Channel:
    """Send `begin`, shake hands, and start. HandshakeFailed says what came instead; the transport is closed then."""
    shipping = Shipping(shared_modules())
    ours = myself(settings)
    try:
        theirs, received = _within(
            settings.handshake_timeout, transport, lambda reader: _shake(transport, begin, ours, reader)
        )
    except HandshakeFailed as error:
        outcome = transport.outcome(_LAST_WORDS)
        transport.close(0.0)
        transport.release()
        raise HandshakeFailed(f"{name}: {error}{outcome and f'; {outcome}'}") from None
    side = ControllerSide((ours.minor, theirs.minor))
    channel = Channel(transport, name, settings, side, theirs, shipping)
    channel.wire.start(received)
    return channel


def _within(
    seconds: float, transport: Transport, talk: Callable[[PreambleReader], tuple[Peer, bytes]]
) -> tuple[Peer, bytes]:
    reader = PreambleReader()
    passed = threading.Event()

    def end() -> None:
        passed.set()
        transport.close(0.0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        return talk(reader)
    except (OSError, ValueError, EOFError) as error:
        heard = f"heard: {reader.noise}" if reader.noise else "nothing was heard"
        if passed.is_set():
            raise HandshakeFailed(f"no agent answered within {seconds:g} s; {heard}") from error
        raise HandshakeFailed(f"it ended before an agent answered; {heard}") from error
    finally:
        timer.cancel()
        timer.join()


def _shake(transport: Transport, begin: bytes, ours: Peer, reader: PreambleReader) -> tuple[Peer, bytes]:
    if begin:
        try:
            transport.write([begin])
        except OSError:
            pass  # it has ended: what it said is read below
    space = memoryview(bytearray(1 << 16))
    found = None
    while found is None:
        count = transport.read_into(space)
        if not count:
            raise EOFError
        found = reader.add(bytes(space[:count]))
    transport.write([preamble(ours)])
    agree(ours, found[0])
    if found[0].python < OLDEST or found[0].system == "win32":
        raise HandshakeFailed(f"Python {found[0].minor} on {found[0].system}: agents need Python 3.8 and no Windows")
    return found
