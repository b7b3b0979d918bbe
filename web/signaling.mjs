// For pages that import.
import "./signaling.js";
export const { SignalingChannel, SignalingError } = globalThis;
