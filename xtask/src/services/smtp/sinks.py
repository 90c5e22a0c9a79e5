"""Mail servers for tests, on three ports: plain, STARTTLS, and TLS from the first byte.

All want a login. What they take is written into a folder before they say so, as it came, each mail in a file of its own.
What they say to a recipient is decided by the name before the @:

refuse-550, refuse-554, defer-451, busy-421   that, about the recipient
spam                                          554 about the content
slow                                          nothing for a minute
drop                                          the connection is cut
"""

import asyncio
import itertools
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

REPLIES = {
    "refuse-550": "550 5.1.1 <{0}> is nobody here",
    "refuse-554": "554 5.7.1 <{0}> relay access denied",
    "defer-451": "451 4.7.1 <{0}> try again later",
    "busy-421": "421 4.3.2 closing, <{0}>",
}


class Sink:
    def __init__(self, folder):
        self.folder = folder
        self.numbers = itertools.count(1)

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "slow":
            await asyncio.sleep(60)
        if name == "drop":
            server.transport.abort()
        if name in REPLIES:
            return REPLIES[name].format(address)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        if any(address.startswith("spam@") for address in envelope.rcpt_tos):
            return "554 5.6.0 not such a thing"
        name = os.path.join(self.folder, f"{next(self.numbers):08}")
        with open(name + ".unfinished", "xb") as file:
            file.write(envelope.original_content)
        os.rename(name + ".unfinished", name + ".eml")
        return "250 2.0.0 taken"


async def main(config):
    sink = Sink(config["folder"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config["certificate"], config["key"])
    known = LoginPassword(config["user"].encode(), config["password"].encode())

    def authenticate(server, session, envelope, mechanism, login):
        return AuthResult(success=login == known, handled=False)

    def server(**options):
        return lambda: SMTP(
            sink,
            hostname="sink.test",
            ident="stylobate",
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=False,
            **options,
        )

    listen = asyncio.get_running_loop().create_server
    host = "127.0.0.1"
    servers = [
        await listen(server(), host, config["plain"]),
        await listen(server(tls_context=context, require_starttls=True), host, config["starttls"]),
        await listen(server(), host, config["tls"], ssl=context),
    ]
    await asyncio.gather(*(one.serve_forever() for one in servers))


with open(sys.argv[1], encoding="utf-8") as file:
    CONFIG = json.load(file)
asyncio.run(main(CONFIG))
