// What the pages of tests/browser/wires/rxdb.rs have: the real client of RxDB, with few words around it.
import { createRxDatabase } from "rxdb";
import { getConnectionHandlerSimplePeer, replicateWebRTC } from "rxdb/plugins/replication-webrtc";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";

// It runs in browsers, and wants this of Node all the same.
globalThis.process = { env: {}, nextTick: (task, ...rest) => queueMicrotask(() => task(...rest)) };

const schema = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: { id: { type: "string", maxLength: 100 }, words: { type: "string" } },
};

/** Opens a database whose notes replicate with those of all others in the room. */
globalThis.openDatabase = async (url, topic) => {
  const database = await createRxDatabase({ name: "notes", storage: getRxStorageMemory(), multiInstance: false });
  const { notes } = await database.addCollections({ notes: { schema } });
  const pool = await replicateWebRTC({
    collection: notes,
    topic,
    // Nobody here is behind a router.
    connectionHandlerCreator: getConnectionHandlerSimplePeer({ signalingServerUrl: url, config: { iceServers: [] } }),
    pull: {},
    push: {},
  });
  let all = "";
  notes.find().$.subscribe((found) => (all = found.map(({ id, words }) => `${id}=${words}`).sort().join(" ")));
  globalThis.database = {
    write: (id, words) => notes.upsert({ id, words }),
    read: () => all,
    peers: () => pool.peerStates$.getValue().size,
    leave: () => pool.cancel(),
  };
};
