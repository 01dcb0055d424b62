"""The outbox's ledger: chained while it is written, exported, and compared with what a database says was committed."""

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import psycopg
import pytest

from contracts.errors import UserError
from contracts.frames import Gap, GapReason, decode, digest
from contracts.topics import Lane
from deploy import ledger as ledgers
from deploy.ledger import GatewayLedger
from deploy.verify import verify
from edge_agent.outbox import export
from edge_agent.outbox.eviction import FOLD_ENTRIES, LedgerLimits
from edge_agent.outbox.file import Entry, Outbox
from edge_agent.outbox.ledger import LedgerEntry, LedgerHead, chained, decode_entry, digits, encode
from tests.integration.edge.frame_makers import event, tel_entry, telemetry

TEL, EVT = Lane.TEL, Lane.EVT
ROOMY = 1 << 30
COMMIT_FRAMES = 7


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.db", machine="m", max_bytes=ROOMY)
    box.open()
    yield box
    box.close()


def fill(outbox: Outbox, groups: int = 20) -> None:
    """Frames without readings, since only frames are of interest here."""
    for number in range(groups):
        frames = [Entry(TEL, telemetry(float(k)), 0) for k in range(number % 5 + 1)]
        outbox.write([*frames, Entry(EVT, event(number), 0)])


def exported(tmp_path: Path) -> list[bytes]:
    return list(export.lines(tmp_path / "outbox.db", "acme", "gw-a"))


def read(tmp_path: Path, lines: list[bytes]) -> list[GatewayLedger]:
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return ledgers.read(file).chains


def commit(dsn: str, outbox: Outbox, lanes: tuple[Lane, ...] = (TEL, EVT)) -> None:
    """Put into a database what the stream would, seven frames a commit."""
    with psycopg.connect(dsn) as connection:
        run = connection.execute
        run("INSERT INTO tenant VALUES ('acme', 'Acme') ON CONFLICT DO NOTHING")
        run("INSERT INTO site (tenant_id, site_id, name) VALUES ('acme', 'north', 'North') ON CONFLICT DO NOTHING")
        run(
            "INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES ('acme', 'gw-a', 'north')"
            " ON CONFLICT DO NOTHING"
        )
        for lane in lanes:
            frames = [decode(lane, stored.payload) for stored in outbox.read(lane, 0, 256)]
            for start in range(0, len(frames), COMMIT_FRAMES):
                part = frames[start : start + COMMIT_FRAMES]
                run(
                    "INSERT INTO ingest_batch (tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames,"
                    " quarantined, frame_digest) VALUES ('acme', 'gw-a', %s, %s, %s, %s, 0, 0, 0, %s)",
                    (lane, outbox.ep, part[0].seq, part[-1].seq, Decimal(sum(map(digest, part)) % 2**64)),
                )
            total = Decimal(sum(map(digest, frames)) % 2**64)
            run(
                "INSERT INTO ingest_watermark (tenant_id, gateway_id, lane, ep, seq, frames, readings, frame_digest)"
                " VALUES ('acme', 'gw-a', %s, %s, %s, %s, 0, %s)",
                (lane, outbox.ep, frames[-1].seq, len(frames), total),
            )


def broken(dsn: str, chains: list[GatewayLedger]) -> list[str]:
    return [f"{one.invariant} {one.what}" for one in verify(dsn, chains=chains).broken]


def forged(lines: list[bytes], change: Callable[[list[LedgerEntry]], object]) -> list[bytes]:
    """The ledger as somebody would change it who knows how the chain is made: all hashes anew, and the head too."""
    head = msgspec.json.decode(lines[0], type=LedgerHead)
    entries = [decode_entry(line) for line in lines[1:]]
    change(entries)
    before, made = head.seal.hash, []
    for n, entry in enumerate(entries, head.seal.n + 1):
        made.append(chained(msgspec.structs.replace(entry, n=n), before))
        before = made[-1].hash
    told = dict(head.lanes)
    for lane, each in told.items():
        last = max(part.to for entry in made for part in entry.parts if part.lane is lane)
        told[lane] = msgspec.structs.replace(each, seq=last)
    head = msgspec.structs.replace(head, last=len(made), hash=before, lanes=told)
    return [encode(head), *map(encode, made)]


def test_an_untouched_ledger_agrees_with_what_was_committed(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    commit(database, outbox)
    chains = read(tmp_path, exported(tmp_path))
    assert [len(lane.digests) for lane in chains[0].lanes.values()] == [60, 20]
    assert broken(database, chains) == []


def test_what_the_gateway_still_holds_is_no_loss(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    commit(database, outbox)
    fill(outbox)
    assert broken(database, read(tmp_path, exported(tmp_path))) == []


def test_a_removed_entry_is_found(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    commit(database, outbox)
    lines = exported(tmp_path)
    del lines[5]
    found = broken(database, read(tmp_path, lines))
    assert "I1 entry 6 of the gateway's ledger follows entry 4" in found


def test_an_altered_entry_is_found(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    commit(database, outbox)
    lines = exported(tmp_path)
    altered = lines[5].replace(b'"at_ms":1', b'"at_ms":2')
    assert altered != lines[5]
    lines[5] = altered
    assert broken(database, read(tmp_path, lines)) == ["I1 entry 5 of the gateway's ledger is not what its hash says"]


def test_an_added_entry_is_found(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    commit(database, outbox)
    lines = exported(tmp_path)
    lines.insert(5, lines[5])
    assert "I1 entry 5 of the gateway's ledger follows entry 5" in broken(database, read(tmp_path, lines))


def test_an_end_that_was_cut_off_is_found(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    commit(database, outbox)
    found = broken(database, read(tmp_path, exported(tmp_path)[:-1]))
    assert "I1 the gateway's ledger ends at entry 19, its head says 20" in found


def test_a_digest_altered_with_all_hashes_anew_is_found_to_the_commit(
    outbox: Outbox, tmp_path: Path, database: str
) -> None:
    def alter(entries: list[LedgerEntry]) -> None:
        part = entries[3].parts[0]
        parts = [msgspec.structs.replace(part, digests="0" * 16 + part.digests[16:]), *entries[3].parts[1:]]
        entries[3] = msgspec.structs.replace(entries[3], parts=parts)

    fill(outbox)
    commit(database, outbox)
    (found,) = broken(database, read(tmp_path, forged(exported(tmp_path), alter)))
    assert found.startswith("I2 frames 1 … 7 were committed with digest")  # entry 4 begins at frame 7


def test_an_end_cut_off_with_a_new_head_is_found(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    commit(database, outbox)
    found = broken(database, read(tmp_path, forged(exported(tmp_path), lambda entries: entries.pop())))
    assert "I1 60 frames are committed, the gateway's ledger has 55" in found


def test_a_commit_that_was_altered_in_the_database_is_found(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    commit(database, outbox)
    with psycopg.connect(database) as connection:
        connection.execute(
            "UPDATE ingest_batch SET frame_digest = frame_digest + CASE from_seq WHEN 8 THEN 1 ELSE -1 END"
            " WHERE lane = 'tel' AND from_seq IN (8, 15)"
        )
    found = broken(database, read(tmp_path, exported(tmp_path)))
    assert [what[:22] for what in found] == ["I2 frames 8 … 14 were ", "I2 frames 15 … 21 were"], "the sums agree"


def test_an_acknowledged_frame_that_is_not_committed_is_found(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    commit(database, outbox)
    fill(outbox, 1)
    outbox.release(TEL, 61)
    outbox.write([])
    assert "I1 61 frames were acknowledged, 60 are committed" in broken(database, read(tmp_path, exported(tmp_path)))


def test_frames_that_were_given_up_are_not_compared_and_the_others_are(
    outbox: Outbox, tmp_path: Path, database: str
) -> None:
    fill(outbox)
    commit(database, outbox, (EVT,))
    outbox.give_up(TEL, Gap(1, 9, GapReason.REFUSED))
    (chain,) = read(tmp_path, exported(tmp_path))
    assert chain.lanes[TEL].gaps == [(1, 9)]
    assert chain.lanes[TEL].last == 60
    assert broken(database, [chain]) == []


def test_the_ledger_of_years_is_folded_and_its_chain_still_holds(tmp_path: Path) -> None:
    limits = LedgerLimits(entries=100, digests=10_000)
    outbox = Outbox(tmp_path / "outbox.db", machine="m", max_bytes=ROOMY, ledger_limits=limits)
    outbox.open()
    for k in range(FOLD_ENTRIES + 101):
        outbox.write([tel_entry(float(k))])
    chain = outbox._file.state.chain
    assert chain.entries <= limits.entries + 1
    before = [digest(decode(TEL, each.payload)) for seq in range(0, 1_100, 250) for each in outbox.read(TEL, seq, 250)]
    outbox.close()

    outbox.open()
    assert outbox._file.state.chain == chain, "a restart finds the ledger as it was"
    outbox.write([tel_entry(7.0)])
    head = msgspec.json.decode(exported(tmp_path)[0], type=LedgerHead)
    sealed = head.seal.lanes[TEL]
    assert int(sealed.digest, 16) == sum(before[: sealed.seq]) % 2**64
    outbox.close()
    (one,) = read(tmp_path, exported(tmp_path))
    assert one.broken == []
    assert one.lanes[TEL].last == FOLD_ENTRIES + 102


def test_the_chain_goes_on_in_the_next_incarnation(outbox: Outbox, tmp_path: Path, database: str) -> None:
    fill(outbox)
    last = outbox._file.state.chain.hash
    outbox.renew()
    fill(outbox)
    old, new = read(tmp_path, exported(tmp_path))
    assert old.head.hash == new.head.seal.hash == last
    assert (old.broken, new.broken) == ([], [])
    assert new.head.seal.n == 0
    assert broken(database, [old, new]) == []


def test_a_corrupt_file_beside_the_outbox_does_not_spoil_the_export(outbox: Outbox, tmp_path: Path) -> None:
    fill(outbox)
    (tmp_path / "outbox.db.corrupt-1700000000000").write_bytes(random.Random(0).randbytes(8_192))
    (chain,) = read(tmp_path, exported(tmp_path))
    assert chain.broken == []


def test_an_outbox_of_the_first_version_goes_on_with_a_ledger(outbox: Outbox, tmp_path: Path) -> None:
    fill(outbox)
    ep, total = outbox.ep, outbox.sent()["tel"].digest
    db = outbox._file.db
    db.executescript("DROP TABLE ledger; DELETE FROM meta WHERE key = 'seal'; PRAGMA user_version = 1")
    outbox.close()
    outbox.open()
    assert outbox.ep == ep
    outbox.write([tel_entry(1.0)])
    (chain,) = read(tmp_path, exported(tmp_path))
    assert chain.head.seal.lanes[TEL].digest == total
    assert (chain.broken, chain.lanes[TEL].after, chain.lanes[TEL].last) == ([], 60, 61)


@pytest.mark.parametrize(
    "line",
    [
        b'{"n":1,"at_ms":1,"parts":[]}',
        b'{"seal":{"n":-1}}',
        b'{"tenant":1}',
        b"[" * 5_000,
        b'{"parts":[{"lane":"tel","from":1,"to":2,"digests":"00"}]}',
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(UserError, match="line 1"):
        read(tmp_path, [line])


def test_digests_that_are_not_one_a_frame_are_refused(outbox: Outbox, tmp_path: Path) -> None:
    fill(outbox)
    lines = exported(tmp_path)
    lines[1] = lines[1].replace(b'"to":1', b'"to":2')
    with pytest.raises(UserError, match="line 2: 16 digits of digests for frames 1 … 2"):
        read(tmp_path, lines)


def test_digits_are_sixteen_a_digest() -> None:
    assert digits([0, 1, 2**64 - 1]) == "0" * 16 + "0" * 15 + "1" + "f" * 16
