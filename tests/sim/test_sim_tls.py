"""TLS with a throw-away authority: real clients take its certificates and refuse bad ones."""

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import orjson
import pytest
from websockets.asyncio.client import connect

from spreadscan.errors import SpreadscanError
from spreadscan.sim.simulation import Simulation
from spreadscan.sim.tls import TlsFault, server_context

REFUSALS = {
    TlsFault.WRONG_HOST: "IP address mismatch",
    TlsFault.EXPIRED: "certificate has expired",
    TlsFault.SELF_SIGNED: "self-signed certificate",
}


@pytest.fixture
def in_tls_world(settings, clock, tmp_path):
    """Run an async body with a TLS simulation and a client's context that trusts its authority."""

    def run(body, fault=None):
        ca_file = tmp_path / "made" / "ca.pem"
        tls = server_context(ca_file, fault)

        async def life():
            simulation = Simulation(settings(), clock.sim_clock(), tls)
            await simulation.listen()
            try:
                await body(simulation, ssl.create_default_context(cafile=str(ca_file)))
            finally:
                await simulation.close()

        asyncio.run(life())

    return run


def get(simulation, context):
    def blocking():
        url = f"{simulation.rest_url}/binance_spot/api/v3/exchangeInfo"
        with urllib.request.urlopen(url, timeout=5, context=context) as reply:
            return json.load(reply)

    return asyncio.to_thread(blocking)


def test_a_client_that_trusts_the_authority_is_served_on_both_ports(in_tls_world, reader):
    async def body(simulation, context):
        assert urlsplit(simulation.rest_url).scheme == "https"
        assert urlsplit(simulation.ws_url).scheme == "wss"
        assert (await get(simulation, context))["timezone"] == "UTC"
        async with connect(
            f"{simulation.ws_url}/okx_spot", ssl=context, compression=None
        ) as socket:
            client = reader(socket)
            argument = {"channel": "bbo-tbt", "instId": "BTC-USDT"}
            await client.send({"op": "subscribe", "args": [argument]})
            assert (await client.json())["event"] == "subscribe"
            assert orjson.loads(await client.text())["arg"] == argument
            assert socket.transport.get_extra_info("ssl_object").version() >= "TLSv1.2"

    in_tls_world(body)


@pytest.mark.parametrize("fault", TlsFault)
def test_a_bad_certificate_is_refused_on_both_ports(in_tls_world, fault):
    async def body(simulation, context):
        with pytest.raises(urllib.error.URLError, match=REFUSALS[fault]):
            await get(simulation, context)
        with pytest.raises(ssl.SSLCertVerificationError, match=REFUSALS[fault]):
            await connect(f"{simulation.ws_url}/okx_spot", ssl=context)

    in_tls_world(body, fault)


def test_a_client_that_trusts_only_the_system_refuses(in_tls_world):
    async def body(simulation, _context):
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(f"{simulation.ws_url}/okx_spot", ssl=ssl.create_default_context())

    in_tls_world(body)


def test_every_start_has_an_authority_of_its_own(tmp_path):
    for name in ("first", "second"):
        server_context(tmp_path / name)

    assert (tmp_path / "first").read_bytes() != (tmp_path / "second").read_bytes()
    assert b"PRIVATE" not in (tmp_path / "first").read_bytes()


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(SpreadscanError, match=r"file/ca\.pem: cannot write"):
        server_context(tmp_path / "file" / "ca.pem")
