"""Programs that hand in jobs from Python, and end at once or badly."""

from jobyard.jobs.job import Status
from tests.support.own_yard import OwnYard

HAND_IN = "from tests.support.bad_tasks import Deed, deed; "


def test_a_program_that_ends_at_once_has_published_what_it_handed_in(own: OwnYard) -> None:
    ended = own.run_code(HAND_IN + "[deed.delay(Deed()) for _ in range(200)]")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(own.everything()) == 200
    assert len(own.sent()) == 200


def test_a_program_that_ends_by_its_own_error_has_published_too(own: OwnYard) -> None:
    ended = own.run_code(HAND_IN + "deed.submit_many([Deed()] * 50); raise SystemExit('over')")
    assert (ended.returncode, ended.stderr) == (1, "over\n")
    assert len(own.sent()) == 50


def test_a_program_that_looks_in_the_wrong_place_is_told_so_and_makes_no_ledger_there(own: OwnYard) -> None:
    own.settings["JOBYARD_HOME"] = str(own.home / "mistyped")
    ended = own.run_code(HAND_IN + "deed.delay(Deed())")
    assert "no ledger at" in ended.stderr
    assert "JOBYARD_HOME" in ended.stderr
    assert not (own.home / "mistyped").exists()


def test_a_program_whose_broker_is_down_ends_in_time_and_loses_nothing(own: OwnYard) -> None:
    own.broker.kill()
    ended = own.run_code(HAND_IN + "print(deed.delay(Deed()).id)")
    assert ended.returncode == 0
    assert "not published, the keeper will" in ended.stderr
    own.broker.start()
    own.start_worker()
    own.wait_for([ended.stdout.strip()], Status.SUCCEEDED)
