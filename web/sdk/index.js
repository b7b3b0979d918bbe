/** The client of the relay: everything that a page or a program takes along. */
export { Call } from "./call.js";
export { PeerLink } from "./peer.js";
export { safetyNumber } from "./proof.js";
export { SignalingChannel, SignalingError } from "./signaling.js";
