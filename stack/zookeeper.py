"""The ZooKeeper that Flink's wheel carries: it remembers the JobManager's jobs."""

from collections.abc import Mapping

from stack.home import Home
from stack.jars import lib
from stack.javatext import properties
from stack.ports import HOST
from stack.process import Process, listens


def server(home: Home, ports: Mapping[str, int], env: Mapping[str, str]) -> Process:
    """Return the ZooKeeper process. Needs the lib and conf folders that stack.flink.render writes."""
    folder = home.folder("zookeeper")
    settings = {
        "tickTime": 2000,
        "initLimit": 10,
        "syncLimit": 5,
        "dataDir": folder / "data",
        "clientPort": ports["zookeeper"],
        "clientPortAddress": HOST,
        "admin.enableServer": "false",
        "autopurge.purgeInterval": 1,
        "autopurge.snapRetainCount": 3,
        # A single peer runs standalone: the two peer ports are never opened.
        "server.1": f"{HOST}:2888:3888",
    }
    (folder / "zoo.cfg").write_text(properties(settings))
    flink = home.folder("flink")
    return Process(
        name="zookeeper",
        command=(
            *("java", "-Xmx64m", "-XX:+UseSerialGC"),
            f"-Dlog4j.configurationFile={(flink / 'conf' / 'log4j.properties').as_uri()}",
            *("-cp", f"{lib()}/*", "org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer"),
            *("--zkConfigFile", str(folder / "zoo.cfg"), "--peerId", "1"),
        ),
        env=env,
        cwd=folder,
        ready=listens(ports["zookeeper"]),
    )
