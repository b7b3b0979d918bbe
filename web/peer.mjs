// For pages that import.
import "./peer.js";
export const { PeerLink } = globalThis;
