/** One peer connection. Knows nothing of rooms or sockets. What each part is for stands in index.d.ts. */

import { Listeners } from "./listeners.js";
import { selectedPair } from "./pair.js";

/** A path may recover by itself; the two sides wait unequally so that only one restarts. */
const PATIENCE_MS = 2_000;
const POLITE_PATIENCE_MS = 5_000;
const LONGEST_PATIENCE_MS = 30_000;
const MOST_QUEUED = 200;
const MOST_NAMES = 16;
const BOTH = ["audio", "video"];

/** The fingerprints in a session description: `[function, value]`, both in one writing. */
function fingerprintsIn(sdp = "") {
	return Array.from(sdp.matchAll(/^a=fingerprint:(\S+) (\S+)/gm), ([, name, value]) => [name.toLowerCase(), value.toUpperCase()]);
}

/**
 * One end has one certificate. Two values for one hash function mean that somebody wants to be taken for somebody
 * else: a connection uses one of them, and whoever looks may be shown the other.
 */
function refuseTwoCertificates(sdp) {
	const seen = new Map();
	for (const [name, value] of fingerprintsIn(sdp)) {
		if ((seen.get(name) ?? value) !== value) throw new Error("refused: the description names two certificates");
		seen.set(name, value);
	}
}

export class PeerLink {
	stream = globalThis.MediaStream ? new MediaStream() : null;
	/** Shows the other side that a new peer connection has the same id. */
	session = crypto.getRandomValues(new Uint32Array(2)).join("-");
	remoteSession = null;
	wasConnected = false;

	#send;
	#media;
	#listeners = new Listeners();
	#tracks = { audio: null, video: null };
	#senders = { audio: null, video: null };
	#extras = new Map();
	#remoteNames = {};
	#localStream = globalThis.MediaStream ? new MediaStream() : null;
	#work = Promise.resolve();
	#makingOffer = false;
	#ignoringOffer = false;
	#candidates = [];
	#restartTimer = 0;
	#restarts = 0;
	#reported = null;
	#tuning = {};
	#tuned = Promise.resolve();

	constructor({ polite, send, iceServers = [], media = true, configuration = {}, RTCPeerConnection = globalThis.RTCPeerConnection }) {
		this.polite = polite;
		this.#send = send;
		this.#media = media;
		this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", ...configuration, iceServers });
		this.pc.onnegotiationneeded = () => this.#offer();
		this.pc.onicecandidate = ({ candidate }) => this.#sendCandidate(candidate);
		this.pc.onconnectionstatechange = () => this.#stateChanged();
		this.pc.ondatachannel = ({ channel }) => this.#emit("channel", channel);
		this.pc.ontrack = ({ track, transceiver }) => this.#trackCame(track, transceiver);
	}

	get state() {
		return this.pc.connectionState;
	}

	on(type, listener) {
		return this.#listeners.on(type, listener);
	}

	start() {
		this.#work = this.#work.then(() => this.#begin());
	}

	#begin() {
		if (!this.#media || this.pc.signalingState === "closed" || this.#senders.audio || this.#senders.video) return;
		for (const kind of BOTH) {
			const streams = this.#localStream ? [this.#localStream] : [];
			this.#adopt(this.pc.addTransceiver(kind, { direction: "sendrecv", streams }), kind);
		}
	}

	async setTrack(name, track) {
		try {
			if (!BOTH.includes(name)) return await this.#setExtra(name, track);
			this.#tracks[name] = track;
			await this.#senders[name]?.replaceTrack(track);
			if (name === "video") this.tune(this.#tuning);
		} catch (error) {
			this.#problem(error);
		}
	}

	tune(tuning) {
		this.#tuning = tuning;
		// One at a time: each must set what it got.
		this.#tuned = this.#tuned.then(() => this.#applyTuning()).catch(() => {});
	}

	receive(message) {
		this.#work = this.#work.then(() => this.#take(message)).catch((error) => this.#problem(error));
		return this.#work;
	}

	setIceServers(iceServers, configuration) {
		try {
			this.pc.setConfiguration({ ...this.pc.getConfiguration(), ...configuration, iceServers });
		} catch (error) {
			this.#problem(error);
		}
	}

	restart() {
		if (this.pc.signalingState === "closed") return;
		this.#restarts += 1;
		this.pc.restartIce();
	}

	resume() {
		if (this.pc.signalingState === "have-local-offer") this.#sendDescription();
		else if (this.pc.remoteDescription && this.state !== "connected") this.#restartSoon(this.polite ? 1_500 : 0);
	}

	close() {
		clearTimeout(this.#restartTimer);
		this.#listeners.clear();
		this.pc.close();
	}

	get fingerprints() {
		const find = (description) => fingerprintsIn(description?.sdp)[0]?.[1] ?? null;
		return { local: find(this.pc.localDescription), remote: find(this.pc.remoteDescription) };
	}

	get certificates() {
		const { pc } = this;
		const transport = pc.sctp?.transport ?? pc.getSenders().find((sender) => sender.transport)?.transport;
		const remote = transport?.getRemoteCertificates?.()[0];
		const local = Object.fromEntries(fingerprintsIn(pc.localDescription?.sdp))["sha-256"];
		return remote && local ? { local, remote } : null;
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

	async #takeDescription({ type, sdp, session, names }) {
		const { pc } = this;
		refuseTwoCertificates(sdp);
		const crossed = type === "offer" && (this.#makingOffer || pc.signalingState !== "stable");
		this.#ignoringOffer = crossed && !this.polite;
		if (this.#ignoringOffer) return;
		if (type === "answer" && pc.signalingState !== "have-local-offer") return; // to an offer taken back
		if (names && typeof names === "object") this.#remoteNames = Object.fromEntries(Object.entries(names).slice(0, MOST_NAMES));
		// Chromium gathers nothing more if it takes an offer back meanwhile.
		for (let left = 20; crossed && left && pc.iceGatheringState !== "complete"; left -= 1) await new Promise((done) => setTimeout(done, 50));
		await pc.setRemoteDescription({ type, sdp }); // takes our own offer back if they crossed
		if (typeof session === "string") this.remoteSession = session;
		for (const candidate of this.#candidates.splice(0)) await this.#addCandidate(candidate);
		if (type === "answer") return;
		const extras = [...this.#extras.values()];
		for (const transceiver of pc.getTransceivers()) {
			const { mid, receiver } = transceiver;
			if (mid === null || extras.includes(transceiver)) continue; // offered again by itself
			if (!this.#remoteNames[mid]) this.#adopt(transceiver, receiver.track.kind);
		}
		await pc.setLocalDescription();
		this.#sendDescription();
	}

	/** The first line of each kind carries our track, whoever opened it. */
	#adopt(transceiver, kind) {
		const current = this.pc.getTransceivers().find(({ sender }) => sender === this.#senders[kind]);
		if (current === transceiver || (current && current.mid !== null && current.direction !== "stopped")) return;
		// Not stopped: Chromium never ends one that was never negotiated, and would offer again for ever.
		if (current?.mid === null) current.direction = "inactive";
		this.#senders[kind] = transceiver.sender;
		transceiver.direction = "sendrecv";
		if (this.#localStream) transceiver.sender.setStreams?.(this.#localStream);
		this.setTrack(kind, this.#tracks[kind]);
	}

	async #setExtra(name, track) {
		const transceiver = this.#extras.get(name);
		if (!transceiver) {
			if (track) this.#extras.set(name, this.pc.addTransceiver(track, { direction: "sendonly" }));
			return;
		}
		transceiver.direction = track ? "sendonly" : "inactive";
		await transceiver.sender.replaceTrack(track);
	}

	#trackCame(track, transceiver) {
		const name = this.#remoteNames[transceiver.mid] ?? track.kind;
		if (BOTH.includes(name)) this.stream?.addTrack(track);
		track.onmute = track.onunmute = () => this.#emit("stream", this.stream);
		this.#emit("track", { name, track });
		this.#emit("stream", this.stream);
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
		if (type !== "offer" && type !== "answer") return;
		const names = Object.fromEntries(Array.from(this.#extras, ([name, { mid }]) => [mid, name]).filter(([mid]) => mid !== null));
		const fields = { sdp, session: this.session };
		this.#send(type, this.#extras.size > 0 ? { ...fields, names } : fields);
	}

	#sendCandidate(candidate) {
		const type = this.pc.localDescription?.type === "answer" ? "answer_ice" : "offer_ice";
		this.#send(type, { iceCandidate: candidate ? (candidate.toJSON?.() ?? candidate) : null });
	}

	#stateChanged() {
		clearTimeout(this.#restartTimer);
		const patience = this.polite ? POLITE_PATIENCE_MS : PATIENCE_MS;
		if (this.state === "connected") {
			this.#restarts = 0;
			this.wasConnected = true;
			this.tune(this.#tuning); // may have come too early
		}
		if (this.state === "disconnected") this.#restartSoon(patience);
		if (this.state === "failed") this.#restartSoon(Math.min(LONGEST_PATIENCE_MS, (patience / 2) * 2 ** this.#restarts));
		this.#report(this.state);
		this.#emit("state", this.state);
	}

	/** For the relay's metrics: how a call ended up, and by which candidates. */
	async #report(state) {
		if (!["connected", "failed"].includes(state) || state === this.#reported) return;
		this.#reported = state;
		const { local, remote } = await selectedPair(this.pc).catch(() => ({}));
		const protocol = local?.relayProtocol ?? local?.protocol;
		this.#send("report", { state, local: local?.candidateType, remote: remote?.candidateType, protocol });
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
		this.#listeners.emit(type, value);
	}
}
