// Many in a room of y-webrtc that has a password, without a connection to anybody: each says what a page says when it meets others,
// as long and as often, and by the client's own cipher. It is for nobody, so that pages need not fail with it.
import { decryptJson, deriveKey, encryptJson } from "../node_modules/y-webrtc/src/crypto.js";

/** What a page says to each whom it meets besides an offer or an answer. */
const CANDIDATES = 5;
const SDP = "x".repeat(500);
const CANDIDATE = "x".repeat(150);

const isOfCrowd = (from) => from.startsWith("crowd ");

/** So many enter the room at once. */
globalThis.crowdEnters = async (url, room, password, count) => {
  const key = await deriveKey(password, room);
  const ciphers = async (data) => Buffer.from(await encryptJson(data, key)).toString("base64");
  // All of them hear the same: it is deciphered once.
  const deciphered = new Map();
  const decipher = (text) => {
    if (!deciphered.has(text)) deciphered.set(text, decryptJson(Buffer.from(text, "base64"), key));
    return deciphered.get(text);
  };
  const members = Array.from({ length: count }, (_, number) => {
    return { me: `crowd ${number}`, announced: new Set(), greeted: new Set(), answered: new Set() };
  });
  const enter = async (member) => {
    const { me } = member;
    const socket = new WebSocket(url);
    const say = async (said) => {
      const data = await ciphers({ from: me, ...said });
      socket.send(JSON.stringify({ type: "publish", topic: room, data }));
    };
    const signals = async (type, to) => {
      const signal = (what) => say({ type: "signal", to: "nobody", forWhom: to, token: 1, signal: what });
      await signal({ type, sdp: SDP });
      for (let sent = 0; sent < CANDIDATES; sent += 1) await signal({ type: "candidate", candidate: CANDIDATE });
    };
    socket.onmessage = async ({ data }) => {
      const heard = JSON.parse(data);
      if (heard.type !== "publish") return;
      const { type, from, to, forWhom, signal } = await decipher(heard.data);
      if (from === me) return;
      if (type === "announce") {
        member.announced.add(from);
        await signals("offer", from);
      } else if (signal.type === "offer" && (forWhom === me || to === me)) {
        member.greeted.add(from);
        if (forWhom) await signals("answer", from);
      } else if (signal.type === "answer" && forWhom === me) {
        member.answered.add(from);
      }
    };
    await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
    socket.send(JSON.stringify({ type: "subscribe", topics: [room] }));
    await say({ type: "announce" });
  };
  await Promise.all(members.map(enter));
  /** How many pairs of the crowd have met: both have heard an offer or an answer of the other. */
  const pairs = () => members.reduce((sum, { greeted, answered }) => sum + [...new Set([...greeted, ...answered])].filter(isOfCrowd).length, 0) / 2;
  /** To how many of the crowd so many pages have said that they are there, or offered a connection. */
  const metBy = (pages) =>
    members.filter(({ announced, greeted }) => [...new Set([...announced, ...greeted])].filter((from) => !isOfCrowd(from)).length === pages).length;
  globalThis.crowd = { pairs, metBy };
};
