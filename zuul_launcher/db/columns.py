"""Types of columns that the tables of every program of ours may have."""

from sqlalchemy import Dialect, Text, TypeDecorator


class Words(TypeDecorator[str]):
    """Text that every database takes: PostgreSQL refuses NUL, and no encoding has lone surrogates."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\ufffd").encode(errors="replace").decode()
