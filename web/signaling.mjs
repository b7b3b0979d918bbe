import "./signaling.js";
export const { SignalingChannel, SignalingError } = globalThis;
