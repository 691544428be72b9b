import time

import pytest
from pytest_plinksim import PlinksimError

pytestmark = pytest.mark.topology("shop.yaml")


def test_nothing_passes_before_the_provider_accepts(plinksim_lab):
    with pytest.raises(PlinksimError, match="NotConnected"):
        plinksim_lab.get("web", "http://ep/", timeout=1)
    assert not plinksim_lab.explain("web", "ep:80")["passes"]
    plinksim_lab.accept("data", "ep")
    assert plinksim_lab.get("web", "http://ep/") in ("a\n", "b\n")


def test_the_server_sees_its_load_balancer(plinksim_lab):
    plinksim_lab.accept("data", "ep")
    who = plinksim_lab.get("web", "http://ep@eu-west-1a/who")
    assert f'client {plinksim_lab.name("nlb@eu-west-1a.ip")}:' in who


def test_the_other_zone_answers_when_one_is_lost(plinksim_lab):
    plinksim_lab.accept("data", "ep")
    with plinksim_lab.fail("eu-west-1a"):
        for _ in range(5):
            assert plinksim_lab.get("web", "http://ep/") == "b\n"
    plinksim_lab.eventually(lambda: plinksim_lab.get("web", "http://ep@eu-west-1a/", timeout=1) == "a\n")


def test_a_slow_connection(plinksim_lab):
    plinksim_lab.accept("data", "ep")
    with plinksim_lab.impair("ep", delay="100ms"):
        start = time.monotonic()
        plinksim_lab.get("web", "http://ep/")
        assert time.monotonic() - start > 0.4  # two round trips, 200 ms each
