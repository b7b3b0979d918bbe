// For pages that import: the same file, its name exported.
import "./peer.js";
export const { PeerLink } = globalThis;
