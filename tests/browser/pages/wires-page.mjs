// What the pages of tests/browser/wires.rs have that Node has not: also the real client of PeerJS, which needs a browser.
import "./wires.mjs";
import { Peer } from "peerjs";

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
  // Nobody here is behind a router.
  const all = { ...options, config: { iceServers: [] } };
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
