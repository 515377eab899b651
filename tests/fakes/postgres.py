"""A PostgreSQL server of the test's own: Debian's package, a data folder that the test gives, loopback, a free port."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
PASSWORD = "s3cret/with:signs@"


def missing():
    """Why there is none here; "" if there is."""
    if not BINARIES:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.getuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


@contextlib.contextmanager
def postgres(folder):
    """Runs a server for as long as the block lasts; gives host, port, user, password and database for a URI."""
    binaries, data = BINARIES[-1].parent, Path(folder) / "data"
    identity = {}
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
        for parent in Path(folder).parents:  # pytest's folders are for root alone
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o001)
    secret = Path(folder) / "password"
    secret.write_text(PASSWORD)
    if identity:
        shutil.chown(secret, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = {"check": True, "capture_output": True, "cwd": "/", **identity}
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "bench", "--pwfile", secret, "--auth", "scram-sha-256", "-N"], **run
    )
    server = subprocess.Popen(
        [binaries / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
         "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **identity,
    )  # fmt: skip
    try:
        subprocess.run(
            [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "60"], **{**run, "check": False}
        )
        import psycopg2

        for _ in range(120):
            try:
                psycopg2.connect(
                    host="127.0.0.1", port=port, user="bench", password=PASSWORD, dbname="postgres"
                ).close()
                break
            except psycopg2.OperationalError:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(0.5)
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for its clients to go
        server.wait(60)
