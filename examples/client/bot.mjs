// A bot that answers each message: node bot.mjs ws://localhost:8080/ws my-room
// Needs Node 22, WebRTC (`npm install werift`), and the client: npm install $(npm pack ../../web)
import { RTCPeerConnection } from "werift";
import { Call } from "signaling-relay-client";

const [url = "ws://localhost:8080/ws", room = "lobby"] = process.argv.slice(2);
const call = new Call({ url, media: false, RTCPeerConnection });
call.on("message", ({ member, data }) => data?.kind === "chat" && call.send({ kind: "chat", text: `You said: ${data.text}` }, member));
call.on("refused", ({ error }) => console.error(error.message));
await call.join(room, { name: "Echo" });
console.log(`in ${room} as ${call.id}`);
