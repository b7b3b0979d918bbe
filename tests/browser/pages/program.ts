// What a program in strict TypeScript does with the package, and what the types do not let pass.
import { Call, PeerLink, SignalingChannel, SignalingError, safetyNumber } from "signaling-relay-client";
import type { CallState, Joined, Member } from "signaling-relay-client";
import { useCall } from "./useCall.js";

export async function callSomebody(camera: MediaStreamTrack): Promise<Joined> {
  const call = new Call({ url: new URL("wss://relay.example/ws") });
  const stop: () => void = call.on("member", ({ member, fresh }) => console.log(member.name.toUpperCase(), fresh === true));
  call.on("refused", ({ error, removed }) => removed || console.error(error.code, error.retryable));
  call.on("stream", ({ member }) => member.link?.stream?.getTracks());
  call.on("channel", ({ channel }) => (channel.onmessage = ({ data }) => console.log(data)));
  call.on("state", ({ state }) => state satisfies CallState);
  call.setTrack("video", camera);
  call.setTrack("screen", null);
  call.setState({ audio: true });
  const missed: Member[] = call.send({ text: "hello" });
  call.share("topic", "tea");
  call.openChannel(call.members[0], "file", { ordered: false }).send("bytes");
  call.kick(missed[0], "good night");
  call.knocks.forEach(({ id }) => call.admit(id) || call.deny(id));
  console.log(safetyNumber(call.members[0].link?.certificates ?? null).split(" "));
  stop();
  // @ts-expect-error there is no such event
  call.on("joind", () => {});
  // @ts-expect-error a name is text
  call.join("r", { name: 7 });
  // @ts-expect-error the others' names are theirs
  call.members[0].name = "Bob";
  try {
    return await call.join("r", { name: "Ana", password: "sesame", signal: AbortSignal.timeout(5_000) });
  } catch (error) {
    if (error instanceof SignalingError && error.retryable) return call.rejoin({ token: "t" });
    throw error;
  }
}

export function signal(send: (text: string) => void): PeerLink {
  const channel = new SignalingChannel();
  const link = new PeerLink({ polite: true, send: (type, fields) => channel.send(type, fields, "bob") });
  channel.on("offer", (message) => link.receive({ type: "offer", ...message }));
  channel.on("joined", ({ peers, iceServers }) => link.setIceServers(peers.length > 0 ? iceServers : []));
  channel.on("message", ({ from, data }) => send(`${from}: ${JSON.stringify(data)}`));
  link.on("state", (state) => state === "connected" && link.tune({ maxBitrate: 500_000 }));
  // @ts-expect-error the relay knows no such signal
  channel.send("offers", {});
  return link;
}

export function Room() {
  const { members, send } = useCall("my-room", { name: "Ana", onMessage: ({ data }) => console.log(data) });
  return members.map(({ name }) => send({ kind: "chat", text: `Hello, ${name}` }));
}
