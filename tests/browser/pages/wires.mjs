// What the pages of tests/browser/wires.rs have: the real clients of y-webrtc and Trystero, with few words around them.
import { createTopicStrategy, selfId, toJson } from "@trystero-p2p/core";
import { WebrtcProvider } from "y-webrtc";
import * as Y from "yjs";

// Nobody here is behind a router.
const iceServers = [];
// In a page the browser has it (wires-node.mjs).
const { wrtc } = globalThis;

/** Documents by the name of their room. */
globalThis.documents = {};

/** Opens a document in `room`; with a password if there is one. */
globalThis.openDocument = (url, room, me, password = null) => {
  const doc = new Y.Doc();
  const peerOpts = { config: { iceServers }, wrtc };
  // By default each client takes 20 to 34 others, by chance.
  const provider = new WebrtcProvider(room, doc, { signaling: [url], password, maxConns: 50, peerOpts });
  provider.awareness.setLocalStateField("me", me);
  const text = doc.getText("text");
  // The first that it hears is what it has said itself: that it is there.
  let isThere = false;
  const listen = ({ topic }) => (isThere ||= topic === room);
  for (const connection of provider.signalingConns) connection.on("message", listen);
  globalThis.documents[room] = {
    provider,
    write: (words) => text.insert(text.length, words),
    read: () => text.toString(),
    others: () => [...provider.awareness.getStates().values()].map((state) => state.me).sort().join(" "),
    isThere: () => isThere,
    isConnected: () => provider.signalingConns.some((connection) => connection.connected),
    destroy: () => provider.destroy(),
  };
};

// The adapter that Trystero's README has under "Write your own strategy".
const joinRoom = createTopicStrategy({
  init: (config) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(config.relayConfig.urls[0]);
      socket.addEventListener("open", () => resolve(socket), { once: true });
      socket.addEventListener("error", reject, { once: true });
    }),
  subscribeTopic: (socket, topic, onMessage) => {
    const listen = (event) => {
      const message = JSON.parse(String(event.data));
      if (message.topic === topic) onMessage(message.topic, message.payload);
    };
    socket.addEventListener("message", listen);
    socket.send(toJson({ type: "subscribe", topic }));
    return () => {
      socket.send(toJson({ type: "unsubscribe", topic }));
      socket.removeEventListener("message", listen);
    };
  },
  publishTopic: (socket, topic, payload) => socket.send(toJson({ type: "publish", topic, payload })),
});

/** Joins a room of Trystero. */
globalThis.meet = (url, room) => {
  const config = { appId: "test", relayConfig: { urls: [url] }, rtcConfig: { iceServers }, rtcPolyfill: wrtc?.RTCPeerConnection };
  const joined = joinRoom(config, room);
  const heard = [];
  const words = joined.makeAction("words");
  words.onMessage = (text) => heard.push(text);
  globalThis.room = { me: selfId, heard, say: (text) => words.send(text), peers: () => Object.keys(joined.getPeers()).length };
};
