"""Keys and audit entries: how they look, how they are kept, and who is told of changes."""

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from actors.access import AddKey, AuditEntry, KeyTable, ReadAudit, RevokeKey, Role, WatchKeys, WriteAudit, mint_key
from actors.access_store import AccessStore
from actors.clock import SystemClock
from actors.core.errors import KeyNotFoundError, LastAdminKeyError
from actors.gatekeeper import Gatekeeper
from actors.store import SCHEMA_VERSION, Store
from configs.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(state_dir=tmp_path)


@pytest.fixture
def store(settings):
    store = AccessStore(settings.database_url)
    yield store
    store.close()


def make_entry(number, **changes):
    return replace(AuditEntry(f"e{number}", float(number), "k", "name", "127.0.0.1", "cancel", f"t{number}", 200), **changes)


class TestKeys:
    def test_roles_cover_those_below_them(self):
        covered = [[role.covers(other) for other in Role] for role in Role]
        assert covered == [[True, False, False], [True, True, False], [True, True, True]]

    def test_a_key_is_random_readable_and_kept_as_a_hash(self):
        first, second = (mint_key("n", Role.VIEWER, now=1.0) for _ in range(2))
        assert first.token != second.token
        prefix, key_id, secret = first.token.split("_", 2)
        assert (prefix, key_id, len(secret)) == ("rfuav", first.key.key_id, 43)
        for text in (repr(first), repr(first.key), str(first.key), first.key.digest):
            assert secret not in text

    def test_only_the_whole_token_finds_its_key(self):
        first, second = (mint_key("n", Role.VIEWER, now=1.0) for _ in range(2))
        table = KeyTable(1, {new.key.key_id: new.key for new in (first, second)})
        assert table.find(first.token) == first.key
        mixed = f"rfuav_{second.key.key_id}_{first.token.split('_', 2)[2]}"
        for wrong in (
            mixed,
            first.token[:-1],
            first.key.digest,
            first.key.key_id,
            f"rfuav_{first.key.key_id}_",
            "",
            "__",
            "\ud800",
        ):
            assert table.find(wrong) is None


class TestStore:
    def test_keys_come_back_in_the_order_they_were_made_without_the_token(self, store, settings, tmp_path):
        new = [mint_key(f"n{number}", Role.VIEWER, now=float(number)) for number in range(3)]
        for each in reversed(new):
            store.add_key(each.key)
        table = AccessStore(settings.database_url).read_keys()
        assert list(table.keys.values()) == [each.key for each in new]
        assert table.version == store.keys_version() == 3
        content = b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite*"))
        assert new[0].key.digest.encode() in content
        assert not any(each.token.split("_", 2)[2].encode() in content for each in new)

    def test_the_last_admin_stays_unless_that_was_asked_for(self, store):
        admins = [mint_key("a", Role.ADMIN, now=1.0).key for _ in range(2)]
        for key in (*admins, mint_key("v", Role.VIEWER, now=1.0).key):
            store.add_key(key)
        assert store.revoke_key(admins[0].key_id) == admins[0]
        version = store.keys_version()
        with pytest.raises(LastAdminKeyError):
            store.revoke_key(admins[1].key_id)
        with pytest.raises(KeyNotFoundError):
            store.revoke_key(admins[0].key_id)
        assert store.keys_version() == version
        store.revoke_key(admins[1].key_id, may_be_last_admin=True)
        assert len(store.read_keys().keys) == 1

    def test_of_two_admins_that_are_revoked_at_once_one_stays(self, store, settings):
        for _ in range(5):
            admins = [mint_key("a", Role.ADMIN, now=1.0).key for _ in range(2)]
            for key in admins:
                store.add_key(key)
            stores = [AccessStore(settings.database_url) for _ in admins]
            with ThreadPoolExecutor(2) as pool:
                asked = [pool.submit(each.revoke_key, key.key_id) for each, key in zip(stores, admins, strict=True)]
            assert sorted(type(each.exception()).__name__ for each in asked) == ["LastAdminKeyError", "NoneType"]
            (left,) = store.read_keys().keys
            store.revoke_key(left, may_be_last_admin=True)

    def test_audit_entries_are_kept_once_newest_first_and_the_oldest_go(self, store):
        store.write_audit([make_entry(number) for number in range(4)], most=5)
        store.write_audit([make_entry(number) for number in (2, 3, 4, 5, 6)], most=5)
        assert [entry.entry_id for entry in store.read_audit(before=None, limit=9).entries] == ["e6", "e5", "e4", "e3", "e2"]

    def test_pages_follow_each_other_while_new_entries_come(self, store):
        store.write_audit([make_entry(number) for number in range(5)], most=100)
        first = store.read_audit(before=None, limit=2)
        store.write_audit([make_entry(9)], most=100)
        second = store.read_audit(before=first.next_cursor, limit=2)
        third = store.read_audit(before=second.next_cursor, limit=2)
        assert [entry.entry_id for page in (first, second, third) for entry in page.entries] == ["e4", "e3", "e2", "e1", "e0"]
        assert third.next_cursor is None
        assert first.entries[0] == make_entry(4)

    def test_a_store_of_the_second_version_gets_the_tables(self, settings, tmp_path):
        Store(settings.database_url).close()
        with sqlite3.connect(tmp_path / "store.sqlite") as connection:
            for table in ("api_keys", "audit", "versions"):
                connection.execute(f"DROP TABLE {table}")
            connection.execute("UPDATE meta SET value = '2' WHERE name = 'schema_version'")
        store = AccessStore(settings.database_url)
        assert (store.read_keys(), store.read_audit(before=None, limit=1).entries) == (KeyTable(0, {}), ())
        assert store.read_note("schema_version") == str(SCHEMA_VERSION)


class TestGatekeeper:
    @pytest.fixture
    def gatekeeper(self, settings):
        return Gatekeeper(settings, SystemClock())

    def test_a_watcher_hears_of_a_key_that_another_process_made(self, gatekeeper, store):
        async def watch():
            waiting = asyncio.create_task(gatekeeper.answer(WatchKeys(0, 30.0)))
            await asyncio.sleep(0)
            key = mint_key("n", Role.VIEWER, now=1.0).key
            await asyncio.to_thread(store.add_key, key)
            return key, await asyncio.wait_for(waiting, 10)

        key, table = asyncio.run(watch())
        assert (table.version, list(table.keys)) == (1, [key.key_id])

    def test_a_watcher_is_answered_when_its_time_is_over_or_it_knows_nothing(self, gatekeeper):
        began = time.monotonic()
        assert asyncio.run(gatekeeper.answer(WatchKeys(0, 0.0))).version == 0
        assert asyncio.run(gatekeeper.answer(WatchKeys(-1, 3_600.0))).version == 0
        assert time.monotonic() - began < 600

    def test_keys_and_entries_go_through_the_store(self, gatekeeper, store):
        new = asyncio.run(gatekeeper.answer(AddKey("n", Role.OPERATOR)))
        assert store.read_keys().find(new.token) == new.key
        assert asyncio.run(gatekeeper.answer(RevokeKey(new.key.key_id))) == new.key
        asyncio.run(gatekeeper.answer(WriteAudit((make_entry(1), make_entry(2)))))
        page = asyncio.run(gatekeeper.answer(ReadAudit(None, 1)))
        assert (page.entries, page.next_cursor) == ((make_entry(2),), 2)
