"""flink-conf/clickhouse/reader.xml read by the engine itself: what its user may do.

chdb takes users from a config.xml in the working directory, but every connection is user `default`: so here the
reader's profile and grants are given to that name. What the engine does not take without a server around it is
changeable_in_readonly (access_control_improvements.settings_constraints_replace_previous, on in the server's own
config.xml): here it is left out.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

READER = Path(__file__).parents[2] / "flink-conf" / "clickhouse" / "reader.xml"
CONFIG = """<clickhouse><path>data/</path><users_config>users.xml</users_config>
<logger><level>none</level></logger></clickhouse>"""
ADMIN = """<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>
<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users></clickhouse>"""
RUN = """
import json, sys
import chdb
connection = chdb._chdb.connect("data")
for text in json.loads(sys.argv[1]):
    try:
        print(json.dumps([True, bytes(connection.query(text, "TSV").bytes()).decode()]))
    except RuntimeError as error:
        print(json.dumps([False, str(error)]))
"""
CHANGEABLE = "<changeable_in_readonly/>"


def run(folder: Path, users: str, statements: list[str]) -> list[tuple[bool, str]]:
    """Run statements in an engine of their own with these users; return (done, answer or error) of each."""
    (folder / "config.xml").write_text(CONFIG)
    (folder / "users.xml").write_text(users)
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(statements)], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def as_default(xml: str) -> str:
    """Return reader.xml with its user named default, and without what needs a server."""
    assert xml.count(CHANGEABLE) == 5
    xml = re.sub(r"<(\w+)></\1>", "", xml.replace(CHANGEABLE, ""))
    users = re.search(r"<users>\s*<reader>.*</reader>\s*</users>", xml, re.DOTALL)
    assert users is not None
    renamed = users.group().replace("<reader>", "<default>").replace("</reader>", "</default>")
    return xml.replace(users.group(), renamed + "<quotas><default/></quotas>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a table of ours and one of somebody else."""
    folder = tmp_path_factory.mktemp("reader")
    made = run(
        folder,
        ADMIN,
        [
            "CREATE DATABASE tidegauge",
            "CREATE DATABASE other",
            "CREATE TABLE tidegauge.samples (a Int8) ENGINE = MergeTree ORDER BY a",
            "CREATE TABLE other.secrets (a Int8) ENGINE = MergeTree ORDER BY a",
            "INSERT INTO tidegauge.samples VALUES (7)",
        ],
    )
    assert all(done for done, _ in made), made
    return folder


# statement, whether the reader may; the code of the refusal
RIGHTS = [
    ("SELECT a FROM tidegauge.samples", "7\n"),
    ("SELECT table FROM system.parts WHERE database = 'tidegauge'", "samples\n"),
    ("SELECT count() > 0 FROM system.settings", "1\n"),
    ("SELECT value FROM system.settings WHERE name = 'readonly'", "1\n"),
    ("SELECT value FROM system.settings WHERE name = 'use_query_condition_cache'", "0\n"),
    ("SELECT a FROM other.secrets", 497),
    ("SELECT * FROM file('/etc/passwd', 'LineAsString')", 497),
    ("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", 497),
    ("SELECT * FROM remote('127.0.0.1', system.one)", 497),
    ("SELECT * FROM s3('http://127.0.0.1:1/bucket/a', 'CSV')", 497),
    ("INSERT INTO tidegauge.samples VALUES (8)", (164, 497)),
    ("ALTER TABLE tidegauge.samples DELETE WHERE 1", (164, 497)),
    ("DROP TABLE tidegauge.samples", (164, 392, 497)),
    ("CREATE TABLE tidegauge.x (a Int8) ENGINE = Memory", (164, 392, 497)),
    ("SET max_memory_usage = 0", 164),
    ("SET readonly = 0", 164),
]


def test_the_reader_reads_our_tables_and_nothing_else(folder: Path) -> None:
    found = run(folder, as_default(READER.read_text()), [text for text, _ in RIGHTS])
    for (text, wanted), (done, said) in zip(RIGHTS, found, strict=True):
        if isinstance(wanted, str):
            assert (done, said) == (True, wanted), text
        else:
            code = re.match(r"Code: (\d+)\.", said)
            codes = wanted if isinstance(wanted, tuple) else (wanted,)
            assert not done and code is not None and int(code.group(1)) in codes, (text, said)


def test_what_only_a_server_can_tell(folder: Path) -> None:
    """The engine knows the words. That they hold needs a config.xml that lets constraints replace others."""
    xml = READER.read_text()
    with pytest.raises(RuntimeError, match="settings_constraints_replace_previous"):
        run(folder, xml, ["SELECT 1"])
