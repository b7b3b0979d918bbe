// The clients of wires.mjs in Node, with npm's @roamhq/wrtc and ws for what a browser has. A line of stdin is the body of a function,
// as JSON; a line of stdout is what it returned, or its error.
import { createInterface } from "node:readline";
import wrtc from "@roamhq/wrtc";
import { WebSocket } from "ws";

/** Makes a description where it is given none, which `wrtc` does not, and Trystero expects. */
class Connection extends wrtc.RTCPeerConnection {
  async setLocalDescription(description) {
    const make = () => (this.signalingState === "have-remote-offer" ? this.createAnswer() : this.createOffer());
    return super.setLocalDescription(description ?? (await make()));
  }
}

Object.assign(globalThis, { wrtc: { ...wrtc, RTCPeerConnection: Connection }, WebSocket });
await import("./wires.mjs");

const Body = Object.getPrototypeOf(async () => {}).constructor;
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await new Body(JSON.parse(line))().then(
    (value = null) => ({ value }),
    (error) => ({ error: String(error) }),
  );
  console.log(JSON.stringify(answer));
}
process.exit();
