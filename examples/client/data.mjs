// Data between programs, without sound and pictures: node data.mjs ws://localhost:8080/ws my-room Ana
// Everybody sends one reading a second by a data channel that repeats nothing; all have the number of the round in common.
// Needs the same as bot.mjs.
import { RTCPeerConnection } from "werift";
import { Call } from "signaling-relay-client";

const [url = "ws://localhost:8080/ws", room = "lobby", name = "Sensor"] = process.argv.slice(2);
const call = new Call({ url, media: false, RTCPeerConnection });
const channels = new Map();
call.on("member", ({ member }) => {
  if (!member.isConnected || channels.has(member.key)) return;
  channels.set(member.key, call.openChannel(member, "readings", { ordered: false, maxRetransmits: 0 }));
  console.log(`connected to ${member.name}`);
});
call.on("channel", ({ member, channel }) => (channel.onmessage = ({ data }) => console.log(`${member.name}: ${data}`)));
call.on("gone", ({ member }) => channels.delete(member.key));
call.on("shared", ({ key, value }) => console.log(`${key} is ${value}`));
await call.join(room, { name });
setInterval(() => {
  if (call.isHost) call.share("round", (call.shared("round") ?? 0) + 1);
  for (const channel of channels.values()) if (channel.readyState === "open") channel.send(String(Math.random()));
}, 1_000);
