"""An order and the mail about it in one transaction: both are there, or neither.

Run beside `make run` (SQLite), or with the JOBYARD_LEDGER__URL of a yard on PostgreSQL:

    PYTHONPATH=. .venv/bin/python -m examples.order_with_mail
"""

from sqlalchemy import Integer, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from jobyard.settings import get_settings
from jobyard.tasks.handle import JobHandle
from tasks.mail.payload import Email, Receipt
from tasks.mail.task import send_email


class Base(DeclarativeBase): ...


class Order(Base):
    """The shop's own table, in the database that holds the ledger."""

    __tablename__ = "shop_order"

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    customer: Mapped[str] = mapped_column(String(200))
    cents: Mapped[int] = mapped_column(Integer)


class OutOfStockError(Exception): ...


def place(session: Session, order: Order, in_stock: int) -> JobHandle[Receipt]:
    """Store the order and hand in its mail; the caller commits both, or rolls both back."""
    session.add(order)
    session.flush()
    thanks = Email(to=(order.customer,), subject=f"Order {order.number}", text="Thank you!")
    handle = send_email.submit(thanks, connection=session)
    if in_stock < 1:
        raise OutOfStockError(f"order {order.number} cannot be filled")
    return handle


def main() -> None:
    engine = create_engine(get_settings().ledger_url)
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        handle = place(session, Order(customer="ada@example.org", cents=1200), in_stock=1)
    print(f"committed: the mail is job {handle.id}, and now {handle.job.status}")
    try:
        with Session(engine) as session, session.begin():
            place(session, Order(customer="bob@example.org", cents=900), in_stock=0)
    except OutOfStockError as error:
        print(f"rolled back, and no mail: {error}")
    engine.dispose()


if __name__ == "__main__":
    main()
