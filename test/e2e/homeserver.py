"""Runs Synapse for the end-to-end test. Ends when its standard input does, so that no server outlives the test.

usage: homeserver.py serve CONFIG           the homeserver, until SIGTERM
       homeserver.py states CONFIG OUT      for every state group "size:sha256" of its full state, as JSON: asked of Synapse's own
                                            storage classes, in a process of its own whose caches are empty
"""

import hashlib
import json
import os
import runpy
import signal
import sys
import threading
import time


def end_with_parent():
    def watch():
        while os.read(0, 1):  # not through sys.stdin: its lock would disturb the end of the interpreter
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve(config):
    sys.argv = ["synapse", "-c", config]
    runpy.run_module("synapse.app.homeserver", run_name="__main__", alter_sys=True)


def digest(state):
    lines = sorted(f"{type_}\t{key}\t{event}" for (type_, key), event in state.items())
    return f"{len(state)}:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def states(config_path, out):
    import yaml
    from twisted.internet import defer, reactor

    from synapse.config.homeserver import HomeServerConfig
    from synapse.server import HomeServer
    from synapse.storage import DataStore
    from synapse.types.state import StateFilter

    class Storage(HomeServer):
        """A homeserver that has a database and nothing else."""

        DATASTORE_CLASS = DataStore

    config = HomeServerConfig()
    with open(config_path) as file:
        config.parse_config_dict(yaml.safe_load(file), "", "")
    server = Storage(hostname=config.server.server_name, config=config, reactor=reactor)
    server.setup()
    server.get_storage_controllers()
    failures = []

    async def ask():
        try:
            store = server.get_datastores().state
            groups = [row[0] for row in await store.db_pool.execute("ids", "SELECT id FROM state_groups ORDER BY id")]
            found = {}
            for start in range(0, len(groups), 100):
                some = await store._get_state_groups_from_groups(groups[start : start + 100], StateFilter.all())
                found.update((group, digest(state)) for group, state in some.items())
            with open(out, "w") as file:
                json.dump(found, file)
        except BaseException as error:  # the reactor would swallow it
            failures.append(error)
        reactor.stop()

    server.get_clock().call_when_running(lambda: defer.ensureDeferred(server.run_as_background_process("states", ask)))
    reactor.run()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    end_with_parent()
    command, *words = sys.argv[1:] or [""]
    if command == "serve" and len(words) == 1:
        serve(*words)
    elif command == "states" and len(words) == 2:
        states(*words)
    else:
        sys.exit(__doc__)
