"""How a worker finds its chief, and what it says where there is none."""

import contextlib
import threading

import grpc
import pytest
from keras_tuner.src.distribute.oracle_client import OracleClient
from search_trials import OBJECTIVE, plan_of

from tfrecords.common.console import UserError
from tuning.chief import OracleServer, chief_expected, wait_for_chief
from tuning.oracles import make_oracle
from tuning.parallel import LOOPBACK, find_port
from tuning.space import Dimension
from tuning.store import SearchDir

PLAN = plan_of([Dimension("alpha", (0.0, 0.5, 1.0))])


@pytest.fixture
def port(monkeypatch):
    port = find_port()
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker1")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", LOOPBACK)
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    return port


@pytest.fixture
def server(port):
    server = OracleServer(f"{LOOPBACK}:{port}")
    yield server
    server.close()


def oracle_of(folder):
    oracle = make_oracle(PLAN, limit=2)
    oracle._set_project_dir(str(folder), "trials")
    return oracle


def test_without_a_chief_a_worker_does_not_wait_for_ever(tmp_path, port):
    with pytest.raises(UserError, match=rf"No chief of the search answers at 127.0.0.1:{port}. "):
        wait_for_chief(SearchDir(tmp_path), f"{LOOPBACK}:{port}", seconds=0.5)


def test_a_worker_waits_while_the_chief_computes_features(tmp_path, port, server):
    search = SearchDir(tmp_path)
    arguments = (search, f"{LOOPBACK}:{port}", 60)
    worker = threading.Thread(target=wait_for_chief, args=arguments, daemon=True)
    worker.start()
    search.bind(PLAN, {})
    worker.join(timeout=60)
    assert not worker.is_alive()


def test_a_worker_whose_chief_is_lost_says_so(tmp_path, port, server):
    server.answer_with(oracle_of(tmp_path))
    client = OracleClient(oracle_of(tmp_path))
    trial = client.create_trial("worker1")
    assert trial.status == "RUNNING"
    server.close()
    message = f"No chief of the search answers at {LOOPBACK}:{port}. Start it with the same command"
    with pytest.raises(UserError, match=message), chief_expected(f"{LOOPBACK}:{port}", seconds=0.5):
        client.end_trial(trial)


def test_a_chief_serves_until_every_worker_has_been_told_that_none_is_left(tmp_path, port, server):
    oracle = oracle_of(tmp_path)
    server.answer_with(oracle)
    client = OracleClient(oracle_of(tmp_path))
    while (trial := client.create_trial("worker1")).status != "STOPPED":
        client.update_trial(trial.trial_id, {OBJECTIVE: 0.5})
        trial.status = "COMPLETED"
        client.end_trial(trial)
    server.wait_for_workers()
    assert [one.status for one in oracle.trials.values()] == ["COMPLETED"] * 2


def test_what_goes_wrong_at_the_chief_ends_it(tmp_path, port, server, monkeypatch):
    def full_disk(self):
        raise OSError(28, "No space left on device")

    oracle = oracle_of(tmp_path)
    monkeypatch.setattr(type(oracle), "save", full_disk)
    client = OracleClient(oracle_of(tmp_path))
    worker = threading.Thread(target=ask, args=[client], daemon=True)
    worker.start()
    server.answer_with(oracle)
    with pytest.raises(OSError, match="No space left"):
        server.wait_for_workers()
    worker.join(timeout=60)


def ask(client):
    with contextlib.suppress(grpc.RpcError):
        client.create_trial("worker1")


def test_two_chiefs_do_not_share_an_address(port, server):
    with pytest.raises(UserError, match=f"The chief can't listen at {LOOPBACK}:{port}"):
        OracleServer(f"{LOOPBACK}:{port}")
