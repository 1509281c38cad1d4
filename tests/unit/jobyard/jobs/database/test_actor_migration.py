"""0009: what was done before has no actor, and housekeeping is no longer declared."""

from alembic import command
from sqlalchemy import select

from jobyard.jobs.actors import PYTHON
from jobyard.jobs.database.migrate import _config, migrate
from jobyard.jobs.database.schema import declared_task
from jobyard.jobs.database.schema_version import EXPECTED_VERSION
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.interventions import interventions
from jobyard.jobs.ledger.replay_orders import get_replay
from jobyard.jobs.reading.declared_tasks import DeclaredTask, declare_tasks
from tests.support.ledger_jobs import dead


def test_a_ledger_from_before_keeps_its_history_and_loses_declared_housekeeping(own_ledger: Ledger) -> None:
    database, job_id = own_ledger.database, dead(own_ledger)
    order, _ = own_ledger.replay_many([job_id], is_canary=True, reason="mended", actor="key:1a2b3c4d")
    names = ("upkeep.prune", "upkeep.heartbeat", "upkeeper.work", "email.send")
    declare_tasks(database, [DeclaredTask(name, name, "default", 4, 3) for name in names])
    with database.engine.connect() as connection:
        command.downgrade(_config(connection), "0008")
        connection.commit()
    assert migrate(database) == EXPECTED_VERSION
    [note] = interventions(database, job_id)
    assert (note.actor, note.reason) == (None, "mended")
    state = get_replay(database, order)
    assert (state.actor, state.reason, state.stopped_by, state.stop_reason) == (None, "mended", None, None)
    with database.reading() as connection:
        declared = set(connection.execute(select(declared_task.c.name)).scalars())
    assert declared == {"upkeeper.work", "email.send"}
    own_ledger.stop_replay(order)
    assert get_replay(database, order).stopped_by == PYTHON
