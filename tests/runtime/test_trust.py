"""Certificates: the simulator's authority is believed when configured, and a bad one never."""

import asyncio
import ssl

import aiohttp
import pytest
from aiohttp import web

from spreadscan.config import load_config
from spreadscan.runtime.trust import Trust, trust_of
from spreadscan.sim.tls import TlsFault, server_context


def body_over_tls(context, trust):
    """Ask a server with this context over TLS; return the body or raise what the client raises."""

    async def answer(_request):
        return web.Response(text="believed")

    async def run():
        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        port = runner.addresses[0][1]
        try:
            connector = aiohttp.TCPConnector(ssl=trust.context())
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get(f"https://127.0.0.1:{port}/") as response,
            ):
                return await response.text()
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_authority_of_the_file_is_believed_beside_the_systems(tmp_path):
    file = tmp_path / "ca.pem"

    assert body_over_tls(server_context(file), Trust(file)) == "believed"


def test_authority_that_nobody_named_is_not_believed(tmp_path):
    context = server_context(tmp_path / "ca.pem")

    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        body_over_tls(context, Trust(None))


@pytest.mark.parametrize("fault", TlsFault)
def test_certificate_with_a_fault_is_refused(tmp_path, fault):
    file = tmp_path / "ca.pem"
    context = server_context(file, fault)

    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        body_over_tls(context, Trust(file))


def test_replaced_authority_is_believed_from_the_next_connection_on(tmp_path):
    file = tmp_path / "ca.pem"
    server_context(file)
    trust = Trust(file)

    assert body_over_tls(server_context(file), trust) == "believed"


def test_file_that_is_absent_or_no_certificate_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        Trust(tmp_path / "ca.pem").context()
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        Trust(tmp_path / "ca.pem").context()


@pytest.mark.parametrize("is_sim", [True, False])
def test_simulators_authority_is_for_the_simulated_pipeline_alone(make_config, tmp_path, is_sim):
    file = tmp_path / "ca.pem"
    server_context(file)
    config = load_config(make_config({"sim.ca_file": str(file)}), is_sim=is_sim)

    names = [
        field[0][1]
        for certificate in trust_of(config).context().get_ca_certs()
        for field in certificate["subject"]
    ]

    assert any("trustme" in name for name in names) is is_sim
