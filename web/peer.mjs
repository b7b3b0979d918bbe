import "./peer.js";
export const { PeerLink } = globalThis;
