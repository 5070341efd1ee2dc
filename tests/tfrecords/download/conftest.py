"""Photo servers on loopback, and no proxy before them."""

import pytest
from photo_server import PhotoServer


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def servers():
    """Makes servers that are closed after the test."""
    made = []

    def make(port=0):
        made.append(PhotoServer(port=port))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(servers):
    return servers()
