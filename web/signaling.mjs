// For pages that import: the same file, its names exported.
import "./signaling.js";
export const { SignalingChannel, SignalingError } = globalThis;
