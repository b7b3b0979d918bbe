// What the pages of tests/browser/wires.rs have: the real clients of y-webrtc, Trystero and PeerJS, with few words around them.
import { createTopicStrategy, selfId, toJson } from "@trystero-p2p/core";
import { Peer } from "peerjs";
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

/** Peers of PeerJS, by the names that the test gives them. */
globalThis.peers = {};

/** A picture that changes, since one that stands still need not be sent. */
const film = () => {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  let hue = 0;
  setInterval(() => {
    hue = (hue + 40) % 360;
    context.fillStyle = `hsl(${hue} 90% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 50);
  return canvas.captureStream(10);
};

/** Opens a peer with this id; without one the relay makes one. */
globalThis.openPeer = (name, id, options) => {
  const all = { ...options, config: { iceServers } };
  const peer = id === null ? new Peer(all) : new Peer(id, all);
  const heard = [];
  const errors = [];
  const connections = {};
  const videos = [];
  let opened = 0;
  const keep = (connection) => {
    connections[connection.peer] = connection;
    connection.on("data", (words) => heard.push(words));
  };
  const watch = (call) =>
    call.on("stream", (stream) => {
      const video = document.createElement("video");
      [video.muted, video.autoplay, video.srcObject] = [true, true, stream];
      document.body.append(video);
      videos.push(video);
    });
  peer.on("open", () => (opened += 1));
  peer.on("error", (error) => errors.push(error.type));
  peer.on("connection", keep);
  peer.on("call", (call) => {
    watch(call);
    call.answer(film());
  });
  globalThis.peers[name] = {
    peer,
    heard,
    errors,
    opened: () => opened,
    connect: (to) => keep(peer.connect(to, { reliable: true, metadata: { exact: 1.1 } })),
    isConnected: (to) => Boolean(connections[to]?.open),
    say: (to, words) => connections[to].send(words),
    call: (to) => watch(peer.call(to, film())),
    pictures: () => videos.filter((video) => video.videoWidth > 0 && video.currentTime > 0).length,
    /** Says so many candidates of a connection that the other one does not know, at once. */
    flood: (to, count) => {
      for (let number = 0; number < count; number += 1) {
        const candidate = { candidate: `candidate:${number} ${"x".repeat(100)}`, sdpMLineIndex: 0, sdpMid: "0" };
        peer.socket.send({ type: "CANDIDATE", payload: { candidate, type: "data", connectionId: "unknown" }, dst: to });
      }
    },
    /** How many of those it has kept. */
    kept: () => peer._lostMessages.get("unknown")?.length ?? 0,
    /** Connects as soon as its socket is open, before it hears that it has its id. */
    connectEarly: (to) =>
      peer.socket._socket.addEventListener("open", () => {
        globalThis.peers[name].wasOpen = peer.open;
        globalThis.peers[name].connect(to);
      }),
  };
};
