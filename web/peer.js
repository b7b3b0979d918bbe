/**
 * One peer connection that keeps itself up: perfect negotiation, queued candidates, ICE restart.
 *
 * For any page; knows nothing of rooms or sockets.
 *
 *   const link = new PeerLink({ polite, iceServers, send: (type, fields) => channel.send(type, fields, peerId) });
 *   link.setTrack("video", cameraTrack);
 *   if (polite) link.start(); // the newcomer makes the first offer
 *   channel.on("offer", (message) => link.receive(message)); // the same for answer, offer_ice, answer_ice
 *
 * Sound and picture are negotiated once, both ways: a new camera or the screen only replaces a track.
 */
(() => {
"use strict";

/** A path may recover by itself; the two sides wait unequally so that only one restarts. */
const PATIENCE_MS = { impolite: 2_000, polite: 5_000 };
const LONGEST_PATIENCE_MS = 30_000;
const MOST_QUEUED = 200;

class PeerLink {
	/** What the other side sends. */
	stream = new MediaStream();
	/** Shows the other side that a new peer connection has the same id. */
	session = crypto.getRandomValues(new Uint32Array(2)).join("-");
	/** The other side's. @type {string|null} */
	remoteSession = null;

	#send;
	#listeners = {};
	#tracks = { audio: null, video: null };
	#senders = { audio: null, video: null };
	#localStream = new MediaStream();
	#work = Promise.resolve();
	#makingOffer = false;
	#ignoringOffer = false;
	#candidates = [];
	#restartTimer = 0;
	#restarts = 0;
	#tuning = {};
	#tuned = Promise.resolve();

	/**
	 * @param {{polite: boolean, send: (type: string, fields: object) => void, iceServers?: RTCIceServer[]}} options
	 *   one of the two sides is polite, and gives way when offers cross; `send` carries a message to the other side
	 */
	constructor({ polite, send, iceServers = [] }) {
		this.polite = polite;
		this.#send = send;
		this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
		this.pc.onnegotiationneeded = () => this.#offer();
		this.pc.onicecandidate = ({ candidate }) => this.#sendCandidate(candidate);
		this.pc.onconnectionstatechange = () => this.#stateChanged();
		this.pc.ontrack = ({ track }) => {
			this.stream.addTrack(track);
			track.onmute = track.onunmute = () => this.#emit("stream", this.stream);
			this.#emit("stream", this.stream);
		};
	}

	get state() {
		return this.pc.connectionState;
	}

	/**
	 * Hears of "state" (RTCPeerConnectionState), "stream" (MediaStream: tracks came, went or fell silent) and
	 * "problem" (Error: survived).
	 */
	on(type, listener) {
		(this.#listeners[type] ??= []).push(listener);
	}

	/** Makes the first offer, unless the other side was faster. */
	start() {
		if (this.pc.signalingState === "closed" || this.pc.getTransceivers().length > 0) return;
		for (const kind of ["audio", "video"]) {
			this.#adopt(this.pc.addTransceiver(kind, { direction: "sendrecv", streams: [this.#localStream] }), kind);
		}
	}

	/** Sends this track of the kind "audio" or "video" from now on, or null. Never negotiates. */
	async setTrack(kind, track) {
		this.#tracks[kind] = track;
		try {
			await this.#senders[kind]?.replaceTrack(track);
			if (kind === "video") this.tune(this.#tuning);
		} catch (error) {
			this.#problem(error);
		}
	}

	/** Sets RTCRtpEncodingParameters of the video, such as maxBitrate: in a mesh everyone encodes for everyone. */
	tune(tuning) {
		this.#tuning = tuning;
		// One at a time: each must set what it got.
		this.#tuned = this.#tuned.then(() => this.#applyTuning()).catch(() => {});
	}

	/** Takes one message as it came: in order, one at a time; a bad one is reported and skipped. */
	receive(message) {
		this.#work = this.#work.then(() => this.#take(message)).catch((error) => this.#problem(error));
		return this.#work;
	}

	/** For the next ICE restart. */
	setIceServers(iceServers) {
		try {
			this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
		} catch (error) {
			this.#problem(error);
		}
	}

	/** Looks for a new path without touching the media. */
	restart() {
		if (this.pc.signalingState === "closed") return;
		this.#restarts += 1;
		this.pc.restartIce();
	}

	/** After a loss of signaling: repeats what may be lost; restarts ICE only if it is down. */
	resume() {
		if (this.pc.signalingState === "have-local-offer") this.#sendDescription();
		else if (this.pc.remoteDescription && this.state !== "connected") this.#restartSoon(this.polite ? 1_500 : 0);
	}

	/** Ends the connection; the tracks live on. */
	close() {
		clearTimeout(this.#restartTimer);
		this.#listeners = {};
		this.pc.close();
	}

	/** The DTLS fingerprints of both ends. */
	get fingerprints() {
		const find = (description) => /^a=fingerprint:\S+ (\S+)/m.exec(description?.sdp ?? "")?.[1] ?? null;
		return { local: find(this.pc.localDescription), remote: find(this.pc.remoteDescription) };
	}

	async #offer() {
		try {
			this.#makingOffer = true;
			await this.pc.setLocalDescription();
			this.#sendDescription();
		} catch (error) {
			this.#problem(error);
		} finally {
			this.#makingOffer = false;
		}
	}

	async #take(message) {
		if (this.pc.signalingState === "closed") return;
		if (message.type === "offer" || message.type === "answer") await this.#takeDescription(message);
		else await this.#takeCandidate(message.iceCandidate ?? null);
	}

	async #takeDescription({ type, sdp, session }) {
		const pc = this.pc;
		const crossed = type === "offer" && (this.#makingOffer || pc.signalingState !== "stable");
		this.#ignoringOffer = crossed && !this.polite;
		if (this.#ignoringOffer) return;
		if (type === "answer" && pc.signalingState !== "have-local-offer") return; // to an offer taken back
		await pc.setRemoteDescription({ type, sdp }); // takes our own offer back if they crossed
		if (typeof session === "string") this.remoteSession = session;
		for (const candidate of this.#candidates.splice(0)) await this.#addCandidate(candidate);
		if (type === "answer") return;
		for (const transceiver of pc.getTransceivers()) {
			// Ours that their offer made needless would be offered as a second pair.
			if (transceiver.mid === null) transceiver.stop();
			else this.#adopt(transceiver, transceiver.receiver.track.kind);
		}
		await pc.setLocalDescription();
		this.#sendDescription();
	}

	/** The first line of each kind carries our track, whoever opened it. */
	#adopt(transceiver, kind) {
		const current = this.pc.getTransceivers().find(({ sender }) => sender === this.#senders[kind]);
		if (current === transceiver || (current && current.mid !== null && current.direction !== "stopped")) return;
		this.#senders[kind] = transceiver.sender;
		transceiver.direction = "sendrecv";
		transceiver.sender.setStreams?.(this.#localStream);
		this.setTrack(kind, this.#tracks[kind]);
	}

	async #takeCandidate(candidate) {
		if (this.pc.remoteDescription) return this.#addCandidate(candidate);
		if (this.#candidates.length < MOST_QUEUED) this.#candidates.push(candidate);
	}

	async #addCandidate(candidate) {
		try {
			await this.pc.addIceCandidate(candidate ?? undefined);
		} catch (error) {
			// Candidates of an ignored offer fit nothing.
			if (!this.#ignoringOffer && candidate) this.#problem(error);
		}
	}

	#sendDescription() {
		const { type, sdp } = this.pc.localDescription ?? {};
		if (type === "offer" || type === "answer") this.#send(type, { sdp, session: this.session });
	}

	#sendCandidate(candidate) {
		const type = this.pc.localDescription?.type === "answer" ? "answer_ice" : "offer_ice";
		this.#send(type, { iceCandidate: candidate ? candidate.toJSON() : null });
	}

	#stateChanged() {
		clearTimeout(this.#restartTimer);
		const patience = PATIENCE_MS[this.polite ? "polite" : "impolite"];
		if (this.state === "connected") {
			this.#restarts = 0;
			this.tune(this.#tuning); // may have come too early
		}
		if (this.state === "disconnected") this.#restartSoon(patience);
		if (this.state === "failed") this.#restartSoon(Math.min(LONGEST_PATIENCE_MS, (patience / 2) * 2 ** this.#restarts));
		this.#emit("state", this.state);
	}

	#restartSoon(delay) {
		clearTimeout(this.#restartTimer);
		this.#restartTimer = setTimeout(() => {
			if (this.state !== "connected" && this.pc.signalingState === "stable") this.restart();
		}, delay);
	}

	async #applyTuning() {
		const sender = this.#senders.video;
		if (!sender?.track) return;
		const parameters = sender.getParameters();
		if (!parameters.encodings?.length) return;
		Object.assign(parameters.encodings[0], this.#tuning);
		await sender.setParameters(parameters);
	}

	#problem(error) {
		if (this.pc.signalingState !== "closed") this.#emit("problem", error);
	}

	#emit(type, value) {
		for (const listener of this.#listeners[type] ?? []) {
			try {
				listener(value);
			} catch (error) {
				console.error(error);
			}
		}
	}
}

globalThis.PeerLink = PeerLink;
})();
